// The lists of an index in the order in which a query reads them: nearest centroid first.
#pragma once

#include <cstdint>
#include <vector>

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

// One query's order, worked out as far as it is asked for.
class ListOrder {
  public:
    ListOrder(const KernelSet& kernels, const PartitionGrid& grid, const float* query);

    // The partition in place i, below grid.P.
    int64_t at(int64_t i) {
        while (i >= static_cast<int64_t>(sorted_.size())) sort_more();
        return sorted_[static_cast<size_t>(i)] & 0xffffffff;
    }

  private:
    void score(int64_t first, int64_t end);
    void sort_more();
    int64_t cut_of(int64_t wanted) const;

    const KernelSet& kernels_;
    const PartitionGrid& grid_;
    std::vector<int16_t> steps_;
    std::vector<int32_t> scores_;
    std::vector<int64_t> keys_;  // score and number of what is not sorted yet: of groups looked at, or of the others
    std::vector<int64_t> sorted_;
    std::vector<bool> is_looked_at_;
    int64_t next_ = 32;  // how many to sort at least
};

}  // namespace pqstore
