// The lists of an index in the order in which a query reads them: nearest centroid first.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "contract.h"

namespace pqstore {

// Centroids as whole numbers: steps of a grid around zero, none beyond `largest`; see
// pqstore/kernels/reference/list_order.py, which says what follows from them.
struct PartitionGrid {
    const int16_t* centroids;  // (P, width), the last of each row zeros
    const int32_t* halves;     // (P,), half of what a centroid's own part of a squared distance is; zeros for "dot"
    const int16_t* groups;     // (G, width): centroids of groups of partitions
    const int32_t* group_halves;
    const int64_t* first;  // (G + 1): group g has the partitions first[g] .. first[g + 1] - 1
    int64_t P, G, D, width;
    int64_t looked;  // groups that are looked at first
    double scale;    // steps a unit; 0: queries are scaled by their own largest value
    double largest;
};

// One query's order, worked out as far as it is asked for, once `score` has been called.
class ListOrder {
  public:
    // `expected`: how many of the first are likely to be asked for.
    ListOrder(const KernelSet& kernels, const PartitionGrid& grid, const float* query, int64_t expected);

    // Scores the partitions that are looked at first, of several queries: the centroids of a group are in the nearest
    // cache for all of them.
    static void score(const std::unique_ptr<ListOrder>* orders, int64_t count);
    ListOrder(const ListOrder&) = delete;
    ListOrder& operator=(const ListOrder&) = delete;
    ~ListOrder();

    // The partition in place i, below grid.P.
    int64_t at(int64_t i) {
        while (i >= sorted_count_) sort_more();
        return sorted_[i] & 0xffffffff;
    }

    // The same, where it is known already; -1: it is not.
    int64_t known(int64_t i) const { return i < sorted_count_ ? sorted_[i] & 0xffffffff : -1; }

  private:
    bool looks_at_all() const { return grid_.looked >= grid_.G; }
    void choose_groups();
    void score_others();
    void score(int64_t first, int64_t end);
    void sort_more();
    int64_t cut_of(int64_t wanted) const;

    const KernelSet& kernels_;
    const PartitionGrid& grid_;
    void* memory_;  // all arrays below
    size_t bytes_;
    int64_t* sorted_;
    int64_t* keys_;  // score and number of what is not sorted yet: of groups looked at, or of the others
    int32_t* scores_;
    int16_t* steps_;
    uint8_t* is_looked_at_;
    int64_t key_count_ = 0, sorted_count_ = 0;
    int64_t next_;  // how many to sort at least
};

}  // namespace pqstore
