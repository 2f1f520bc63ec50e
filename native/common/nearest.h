// Nearest codewords: encoding, and one step of Lloyd's algorithm.
//
// The nearest codeword is defined by the float64 squared distance, summed dimension after dimension, the lowest index
// winning a tie. Float scores find it wherever the runner-up is farther than rounding could explain; the few other rows
// are decided in float64 over all codewords. So every instruction set gives the same codes.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>

#include "../contract.h"
#include "../parallel.h"
#include "buffer.h"
#include "tables.h"
#include "top_k.h"

namespace pqstore {
namespace {

constexpr int64_t kPanel = 32;  // codewords scored together: four registers of eight
constexpr int64_t kRowTile = 128;

// Some codewords of one sub-space, a multiple of kPanel; those beyond Ks have infinite norms.
struct CodewordTile {
    const float* columns;  // (panels, Ds, kPanel): within a panel, one dimension of all codewords lies together
    const float* half_norms;
    int64_t Ds;
    int64_t count;
};

// The least score of a tile. `sure`: every other score is greater by more than the slack.
struct TileWinner {
    float score;
    int32_t index;
    bool sure;
};

// One sub-space's codewords, ready to be searched.
class CodewordSearch {
  public:
    void prepare(const Codewords& codewords, int64_t m) {
        Ks_ = codewords.Ks;
        Ds_ = codewords.Ds;
        stride_ = (Ks_ + kPanel - 1) / kPanel * kPanel;
        transposed_.resize(static_cast<size_t>(Ds_ * stride_));
        half_norms_.resize(static_cast<size_t>(stride_));
        const float* values = codewords.values + m * Ks_ * Ds_;
        for (int64_t k = 0; k < stride_; ++k)
            for (int64_t d = 0; d < Ds_; ++d) *component(k, d) = k < Ks_ ? values[k * Ds_ + d] : 0.0f;
        double largest = 0;
        for (int64_t k = 0; k < Ks_; ++k) {
            double norm = 0;
            for (int64_t d = 0; d < Ds_; ++d) norm += static_cast<double>(values[k * Ds_ + d]) * values[k * Ds_ + d];
            half_norms_[static_cast<size_t>(k)] = static_cast<float>(norm / 2);
            largest = std::max(largest, norm / 2);
        }
        std::fill(half_norms_.data() + Ks_, half_norms_.data() + stride_, kInfinity);
        twice_largest_ = static_cast<float>(std::min(2 * largest * 1.000001, 3e38));
        slack_factor_ = static_cast<float>(4 * static_cast<double>(Ds_ + 2) / (1 << 24) * 1.000001);
    }

    int64_t tiles() const { return (stride_ + tile_codewords() - 1) / tile_codewords(); }

    CodewordTile tile(int64_t index) const {
        const int64_t first = index * tile_codewords();
        return {transposed_.data() + first * Ds_, half_norms_.data() + first, Ds_,
                std::min(tile_codewords(), stride_ - first)};
    }

    int64_t tile_first(int64_t index) const { return index * tile_codewords(); }

    // Two scores that differ by more than this are in their true order. A score ||c||^2 / 2 - <x, c> takes Ds + 2 float
    // operations whose magnitudes stay below ||c||^2 / 2 + ||x|| ||c|| <= 2 max ||c||^2 / 2 + ||x||^2 / 2. Twice for
    // two scores, twice again for safety. Not finite, or so large that a sum could overflow: infinity, nothing is sure.
    float slack(const float* x) const {
        float parts[4] = {};  // summed side by side
        int64_t d = 0;
        for (; d + 4 <= Ds_; d += 4)
            for (int64_t i = 0; i < 4; ++i) parts[i] += x[d + i] * x[d + i];
        for (; d < Ds_; ++d) parts[0] += x[d] * x[d];
        const float norm = (parts[0] + parts[1]) + (parts[2] + parts[3]);
        const float magnitude =
            twice_largest_ + norm;  // the norm is not halved: more than makes up for its own rounding
        return magnitude < 1e37f ? magnitude * slack_factor_ : kInfinity;
    }

    // By the definition: float64, all codewords, the lowest index on ties.
    int64_t decide(const float* x) const {
        double best = HUGE_VAL;
        int64_t nearest = 0;
        for (int64_t first = 0; first < Ks_; first += kPanel) {
            double distances[kPanel] = {};
            for (int64_t d = 0; d < Ds_; ++d) {
                const float* columns = transposed_.data() + first * Ds_ + d * kPanel;
                for (int64_t k = 0; k < kPanel; ++k) {
                    const double difference = static_cast<double>(x[d]) - static_cast<double>(columns[k]);
                    distances[k] += difference * difference;
                }
            }
            for (int64_t k = 0; k < std::min(kPanel, Ks_ - first); ++k)
                if (distances[k] < best) {
                    best = distances[k];
                    nearest = first + k;
                }
        }
        return nearest;
    }

  private:
    // A tile fills at most half of the first-level cache.
    int64_t tile_codewords() const { return std::clamp<int64_t>(16384 / (4 * Ds_) / kPanel * kPanel, kPanel, 256); }

    Buffer<float> transposed_, half_norms_;
    float* component(int64_t k, int64_t d) { return transposed_.data() + (k / kPanel * Ds_ + d) * kPanel + k % kPanel; }

    float twice_largest_ = 0, slack_factor_ = 0;
    int64_t Ks_ = 0, Ds_ = 0, stride_ = 0;
};

// Labels of n <= kRowTile sub-vectors, `step` floats apart. `Backend::kRows` rows are scored at a time by
//   Backend::search(tile, const float* const x[kRows], const float slack[kRows], TileWinner winners[kRows]).
template <typename Backend>
void nearest_rows(const CodewordSearch& search, const float* x, int64_t step, int64_t n, int64_t* labels) {
    constexpr int64_t kRows = Backend::kRows;
    TileWinner best[kRowTile];
    float slack[kRowTile];
    for (int64_t i = 0; i < n; ++i) {
        slack[i] = search.slack(x + i * step);
        best[i] = {kInfinity, 0, false};
    }
    for (int64_t t = 0; t < search.tiles(); ++t) {
        const CodewordTile tile = search.tile(t);
        const int32_t first_codeword = static_cast<int32_t>(search.tile_first(t));
        for (int64_t first = 0; first < n; first += kRows) {
            const float* rows[kRows];
            float slacks[kRows];
            TileWinner winners[kRows];
            for (int64_t r = 0; r < kRows; ++r) {
                const int64_t i = std::min(first + r, n - 1);  // the last row again where rows run out
                rows[r] = x + i * step;
                slacks[r] = slack[i];
            }
            Backend::search(tile, rows, slacks, winners);
            for (int64_t r = 0; r < kRows && first + r < n; ++r) {
                TileWinner& so_far = best[first + r];
                TileWinner& here = winners[r];
                here.index += first_codeword;
                if (here.score + slacks[r] < so_far.score) {
                    so_far = here;
                } else if (!(here.score > so_far.score + slacks[r])) {
                    so_far.score = std::min(so_far.score, here.score);
                    so_far.sure = false;
                }
            }
        }
    }
    for (int64_t i = 0; i < n; ++i)
        labels[i] = best[i].sure && slack[i] < kInfinity ? best[i].index : search.decide(x + i * step);
}

inline void store_label(void* labels, int width, int64_t position, int64_t label) {
    switch (width) {
        case 1: static_cast<uint8_t*>(labels)[position] = static_cast<uint8_t>(label); break;
        case 2: static_cast<uint16_t*>(labels)[position] = static_cast<uint16_t>(label); break;
        default: static_cast<uint32_t*>(labels)[position] = static_cast<uint32_t>(label); break;
    }
}

inline int64_t load_label(const void* labels, int width, int64_t position) {
    switch (width) {
        case 1: return static_cast<const uint8_t*>(labels)[position];
        case 2: return static_cast<const uint16_t*>(labels)[position];
        default: return static_cast<const uint32_t*>(labels)[position];
    }
}

inline std::unique_ptr<CodewordSearch[]> prepare_searches(const Codewords& codewords, int threads) {
    std::unique_ptr<CodewordSearch[]> searches(new CodewordSearch[static_cast<size_t>(codewords.M)]);
    parallel_for(threads, codewords.M, [&](int, int64_t m) { searches[static_cast<size_t>(m)].prepare(codewords, m); });
    return searches;
}

template <typename Backend>
void encode(const float* vectors, int64_t n, const Codewords& codewords, int threads, int width, void* codes) {
    const int64_t M = codewords.M, Ds = codewords.Ds, D = M * Ds;
    const int useful_threads = n * D * codewords.Ks >= (1 << 22) ? threads : 1;
    const auto searches = prepare_searches(codewords, useful_threads);
    parallel_for(useful_threads, (n + kRowTile - 1) / kRowTile, [&](int, int64_t task) {
        const int64_t first = task * kRowTile, count = std::min(kRowTile, n - first);
        int64_t labels[kRowTile];
        for (int64_t m = 0; m < M; ++m) {
            nearest_rows<Backend>(searches[static_cast<size_t>(m)], vectors + first * D + m * Ds, D, count, labels);
            for (int64_t i = 0; i < count; ++i) store_label(codes, width, (first + i) * M + m, labels[i]);
        }
    });
}

// Adds up clusters, dimensions first_d .. end_d - 1 of one sub-space, in the order of the rows.
inline void add_clusters(const float* group, int64_t n, int64_t Ds, int64_t first_d, int64_t end_d, const void* labels,
                         int width, int64_t offset, double* sums) {
    for (int64_t i = 0; i < n; ++i) {
        double* sum = sums + load_label(labels, width, offset + i) * Ds;
        const float* x = group + i * Ds;
        for (int64_t d = first_d; d < end_d; ++d) sum[d] += x[d];
    }
}

template <typename Backend>
void lloyd_step(const float* groups, int64_t n, const Codewords& codewords, int threads, int width, void* labels,
                double* sums, int64_t* counts) {
    const int64_t M = codewords.M, Ks = codewords.Ks, Ds = codewords.Ds;
    const auto searches = prepare_searches(codewords, threads);
    const int64_t row_tiles = (n + kRowTile - 1) / kRowTile;
    constexpr int64_t kTaskTiles = 16;
    const int64_t tasks_of_m = (row_tiles + kTaskTiles - 1) / kTaskTiles;
    parallel_for(threads, M * tasks_of_m, [&](int, int64_t task) {
        const int64_t m = task / tasks_of_m, first_tile = task % tasks_of_m * kTaskTiles;
        for (int64_t tile = first_tile; tile < std::min(first_tile + kTaskTiles, row_tiles); ++tile) {
            const int64_t first = tile * kRowTile, count = std::min(kRowTile, n - first);
            int64_t nearest[kRowTile];
            nearest_rows<Backend>(searches[static_cast<size_t>(m)], groups + (m * n + first) * Ds, Ds, count, nearest);
            for (int64_t i = 0; i < count; ++i) store_label(labels, width, m * n + first + i, nearest[i]);
        }
    });
    // Slices of dimensions give threads work where sub-spaces are few; each sum still takes the rows in order.
    const int64_t slice = 16, slices = (Ds + slice - 1) / slice;
    parallel_for(threads, M * slices, [&](int, int64_t task) {
        const int64_t m = task / slices, first_d = task % slices * slice, end_d = std::min(first_d + slice, Ds);
        double* sums_m = sums + m * Ks * Ds;
        for (int64_t k = 0; k < Ks; ++k) std::fill(sums_m + k * Ds + first_d, sums_m + k * Ds + end_d, 0.0);
        add_clusters(groups + m * n * Ds, n, Ds, first_d, end_d, labels, width, m * n, sums_m);
        if (first_d == 0) {
            std::fill(counts + m * Ks, counts + (m + 1) * Ks, int64_t{0});
            for (int64_t i = 0; i < n; ++i) ++counts[m * Ks + load_label(labels, width, m * n + i)];
        }
    });
}

}  // namespace
}  // namespace pqstore
