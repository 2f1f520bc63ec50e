// Nearest codewords: encoding, and one step of Lloyd's algorithm.
//
// The nearest codeword is defined by the float64 squared distance, summed dimension after dimension, the lowest index
// winning a tie. It is searched on a grid: row and codewords are rounded to whole numbers of 16 bits, whose distances
// fit into 32. Rounding moves a point by half a cell at most, so a codeword that leads by more than both roundings
// can explain is the nearest; the few other rows are decided in float64 among the codewords that come into question.
// So every instruction set gives the same codes.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>

#include "common/buffer.h"
#include "contract.h"
#include "services/parallel.h"

namespace pqstore {
namespace {

constexpr int64_t kPanel = 32;           // codewords scored together: four registers of eight
constexpr int64_t kTileCodewords = 256;  // at most: their numbers within a tile fit into the low byte of a score
constexpr int64_t kRowTile = 128;
// Grid points are at most this far from the origin, in cells, so that no score exceeds 1.5 * 2^30 (and a little).
constexpr float kLargestNorm = 32000.0f;

// Where rows are put on the grid of a sub-space: cell numbers are (x - origin) * scale.
struct Grid {
    const float* origin;  // followed by zeros to a multiple of eight
    float scale;
    int64_t Ds;
};

// Some codewords of one sub-space, a multiple of kPanel; those beyond Ks have half norms greater than any other score.
//
// The score of codeword c and row x, both on the grid, is ||c||^2 / 2 - <x, c> = (||x - c||^2 - ||x||^2) / 2.
template <typename Backend>
struct CodewordTile {
    const typename Backend::Cell* negated;  // (panels, steps, kPanel, Backend::kTogether dimensions)
    const typename Backend::Score* half_norms;
    int64_t steps;
    int64_t count;
};

// Rows on the grid: (kRowTile, stride). Rows and components that do not exist are zero.
template <typename Backend>
struct GridRows {
    const typename Backend::Cell* values;
    int64_t stride;
};

// The two least scores of each row in a tile, both rounded down by less than 256 or not at all; and where the least is.
struct TileWinners {
    float best[kRowTile];
    float second[kRowTile];
    int32_t index[kRowTile];
};

// One sub-space's codewords, ready to be searched. `Backend` provides
//   Cell, Score: the types of a component on the grid and of a score;
//   kTogether: how many dimensions of a codeword lie together;
//   rounding(Ds): by how much the arithmetic of a score may err;
//   put_on_grid(const Grid&, const float* x, Cell* row) -> float: the squared norm of the grid point of x. Where it is
//       beyond kLargestNorm, the components may be any numbers;
//   search(const CodewordTile&, const GridRows&, int64_t n, TileWinners&);
//   scores(const CodewordTile&, const Cell* row, Score* scores).
template <typename Backend>
class CodewordSearch {
  public:
    using Cell = typename Backend::Cell;
    using Score = typename Backend::Score;

    // `x` are the n rows to come, `step` floats apart: some are looked at to choose a scale.
    void prepare(const Codewords& codewords, int64_t m, const float* x, int64_t step, int64_t n) {
        constexpr int64_t kWorthIt = 8;  // rows; for fewer float64 alone is quicker
        Ks_ = codewords.Ks;
        Ds_ = codewords.Ds;
        steps_ = (Ds_ + Backend::kTogether - 1) / Backend::kTogether;
        values_ = codewords.values + m * Ks_ * Ds_;
        on_grid_ = false;
        if (n < kWorthIt) return;
        find_origin();
        const float reach = std::max(largest_norm(), usual_norm(x, step, n));
        // Squares of smaller and larger numbers could underflow or overflow in float32. NaN is not on the grid either.
        on_grid_ = reach > 1e-15f && reach < 1e15f;
        if (!on_grid_) return;
        scale_ = kLargestNorm / reach;
        // A component is off by half a cell and by what its float32 arithmetic errs, 3 half-ulps of 2^15 at most, less
        // than 0.01. So the roundings of row and codeword together move a distance by less than this.
        slack_ = 1.02f * std::sqrt(static_cast<float>(Ds_));
        loose_ = 2560 + 4 * Backend::rounding(Ds_);
        round_codewords();
    }

    bool on_grid() const { return on_grid_; }
    Grid grid() const { return {origin_.data(), scale_, Ds_}; }
    int64_t row_stride() const { return (Ds_ + 7) / 8 * 8; }
    int64_t Ks() const { return Ks_; }

    int64_t tiles() const { return (stride() + tile_codewords() - 1) / tile_codewords(); }
    int64_t tile_first(int64_t index) const { return index * tile_codewords(); }

    CodewordTile<Backend> tile(int64_t index) const {
        const int64_t first = tile_first(index);
        return {negated_.data() + first * steps_ * Backend::kTogether, half_norms_.data() + first, steps_,
                std::min(tile_codewords(), stride() - first)};
    }

    // Whether `best` leads: its distance U1 and that of the second, U2, satisfy U2 > U1 + 2 slack, which is
    // (U2^2 - U1^2 - 4 slack^2)^2 > 16 slack^2 U1^2 without a root. Scores are known to 256, norms and these floats to
    // a part in 2^22; `loose_` covers it.
    bool leads(float best, float second, float norm) const {
        const float ahead = 2 * (second - best) - 4 * slack_ * slack_ - loose_;
        return (ahead > 0) & (ahead * ahead > 16 * slack_ * slack_ * squared_distance(best, norm)) &
               (norm <= kLargestNorm * kLargestNorm);
    }

    // The score up to which a codeword may be the nearest, where `best` is the least.
    double limit(float best, float norm) const {
        const double distance = std::sqrt(std::max(0.0, static_cast<double>(squared_distance(best, norm))));
        return best + 2.0 * slack_ * (distance + slack_) + loose_;
    }

    // By the definition: float64, the lowest index on ties. Takes `codeword` for `nearest`, whose squared distance is
    // `least`, if it is nearer.
    void decide(const float* x, int64_t codeword, double* least, int64_t* nearest) const {
        const float* c = values_ + codeword * Ds_;
        double distance = 0;
        for (int64_t d = 0; d < Ds_; ++d) {
            const double difference = static_cast<double>(x[d]) - static_cast<double>(c[d]);
            distance += difference * difference;
        }
        if (distance < *least) {
            *least = distance;
            *nearest = codeword;
        }
    }

    // The nearest of all codewords by the definition. A sum waits for each of its additions, so there are several at a time.
    int64_t nearest_of_all(const float* x) const {
        constexpr int64_t kTogether = 8;
        double least = HUGE_VAL;
        int64_t nearest = 0, k = 0;
        for (; k + kTogether <= Ks_; k += kTogether) {
            double distances[kTogether] = {};
            for (int64_t d = 0; d < Ds_; ++d)
                for (int64_t j = 0; j < kTogether; ++j) {
                    const double difference = static_cast<double>(x[d]) - static_cast<double>(values_[(k + j) * Ds_ + d]);
                    distances[j] += difference * difference;
                }
            for (int64_t j = 0; j < kTogether; ++j)
                if (distances[j] < least) {
                    least = distances[j];
                    nearest = k + j;
                }
        }
        for (; k < Ks_; ++k) decide(x, k, &least, &nearest);
        return nearest;
    }

  private:
    // An upper bound of the squared distance, in cells, of a row to the codeword of score `best`.
    float squared_distance(float best, float norm) const {
        return 2 * best + norm * (1 + static_cast<float>(Ds_ + 2) / (1 << 22)) + loose_;
    }

    // A tile fills at most half of the first-level cache.
    int64_t tile_codewords() const {
        const int64_t bytes = steps_ * Backend::kTogether * static_cast<int64_t>(sizeof(Cell));
        return std::clamp<int64_t>(16384 / bytes / kPanel * kPanel, kPanel, kTileCodewords);
    }

    int64_t stride() const { return (Ks_ + kPanel - 1) / kPanel * kPanel; }

    void find_origin() {
        origin_.resize(static_cast<size_t>(row_stride()));
        Buffer<double> sums(static_cast<size_t>(row_stride()));
        std::fill(sums.data(), sums.data() + row_stride(), 0.0);
        for (int64_t k = 0; k < Ks_; ++k)
            for (int64_t d = 0; d < Ds_; ++d) sums[static_cast<size_t>(d)] += values_[k * Ds_ + d];
        const double count = static_cast<double>(Ks_);
        for (int64_t d = 0; d < row_stride(); ++d)
            origin_[static_cast<size_t>(d)] = static_cast<float>(sums[static_cast<size_t>(d)] / count);
    }

    // The largest distance of a codeword from the origin.
    float largest_norm() const {
        float largest = 0;
        for (int64_t k = 0; k < Ks_; ++k) largest = std::max(largest, squared_norm(values_ + k * Ds_));
        return std::sqrt(largest);
    }

    // Twice the distance from the origin that one of eight rows exceeds: a row is hardly ever beyond, and no single one
    // can make the cells too large for the rest.
    float usual_norm(const float* x, int64_t step, int64_t n) const {
        constexpr int64_t kSample = 32;
        float norms[kSample];
        const int64_t count = std::min(n, kSample);
        for (int64_t i = 0; i < count; ++i) norms[i] = squared_norm(x + n * i / count * step);
        float usual = 0;
        for (int64_t i = 0; i < count; ++i) {
            int64_t smaller = 0;
            for (int64_t j = 0; j < count; ++j) smaller += norms[j] < norms[i];
            if (smaller <= count - 1 - count / 8) usual = std::max(usual, norms[i]);
        }
        return 2 * std::sqrt(usual);
    }

    float squared_norm(const float* x) const {
        float parts[4] = {};  // summed side by side
        int64_t d = 0;
        for (; d + 4 <= Ds_; d += 4)
            for (int64_t i = 0; i < 4; ++i) {
                const float component = x[d + i] - origin_[static_cast<size_t>(d + i)];
                parts[i] += component * component;
            }
        for (; d < Ds_; ++d) {
            const float component = x[d] - origin_[static_cast<size_t>(d)];
            parts[0] += component * component;
        }
        return (parts[0] + parts[1]) + (parts[2] + parts[3]);
    }

    void round_codewords() {
        constexpr int64_t kTogether = Backend::kTogether;
        negated_.resize(static_cast<size_t>(stride() * steps_ * kTogether));
        half_norms_.resize(static_cast<size_t>(stride()));
        Buffer<Cell> row(static_cast<size_t>(row_stride()));
        for (int64_t k = 0; k < stride(); ++k) {
            if (k < Ks_) {
                Backend::put_on_grid(grid(), values_ + k * Ds_, row.data());
            } else {
                std::fill(row.data(), row.data() + row_stride(), Cell{0});
            }
            Cell* cells = negated_.data() + (k / kPanel * steps_ * kPanel + k % kPanel) * kTogether;
            int32_t norm = 0;
            for (int64_t s = 0; s < steps_; ++s)
                for (int64_t i = 0; i < kTogether; ++i) {
                    const Cell cell = row[static_cast<size_t>(s * kTogether + i)];
                    cells[s * kPanel * kTogether + i] = static_cast<Cell>(-cell);
                    norm += static_cast<int32_t>(cell) * static_cast<int32_t>(cell);
                }
            half_norms_[static_cast<size_t>(k)] = static_cast<Score>(k < Ks_ ? norm / 2 : INT32_MAX);
        }
    }

    const float* values_ = nullptr;  // (Ks, Ds)
    Buffer<float> origin_;
    Buffer<Cell> negated_;
    Buffer<Score> half_norms_;
    float scale_ = 0, slack_ = 0, loose_ = 0;
    bool on_grid_ = false;
    int64_t Ks_ = 0, Ds_ = 0, steps_ = 0;
};

// What one thread needs to search: the rows it looks at, on the grid.
template <typename Backend>
class RowSearch {
  public:
    // Labels of sub-vectors, `step` floats apart: of the first n <= kRowTile of the `rows_left` that are there.
    void nearest(const CodewordSearch<Backend>& search, const float* x, int64_t step, int64_t n, int64_t rows_left,
                 int64_t* labels) {
        if (!search.on_grid()) {
            for (int64_t i = 0; i < n; ++i) labels[i] = search.nearest_of_all(x + i * step);
            return;
        }
        put_on_grid(search, x, step, n, rows_left);
        const GridRows<Backend> rows{values_.data(), search.row_stride()};
        TileWinners winners;
        Backend::search(search.tile(0), rows, n, winners);
        for (int64_t t = 1; t < search.tiles(); ++t) {
            TileWinners others;
            Backend::search(search.tile(t), rows, n, others);
            for (int64_t i = 0; i < n; ++i) {
                winners.second[i] = std::min(std::max(winners.best[i], others.best[i]),
                                             std::min(winners.second[i], others.second[i]));
                if (others.best[i] < winners.best[i]) {
                    winners.best[i] = others.best[i];
                    winners.index[i] = static_cast<int32_t>(search.tile_first(t)) + others.index[i];
                }
            }
        }
        bool sure[kRowTile];
        for (int64_t i = 0; i < n; ++i) {
            labels[i] = winners.index[i];
            sure[i] = search.leads(winners.best[i], winners.second[i], norms_[i]);
        }
        for (int64_t i = 0; i < n; ++i)
            if (!sure[i]) labels[i] = decided(search, x + i * step, i, winners.best[i]);
    }

  private:
    using Cell = typename Backend::Cell;

    void put_on_grid(const CodewordSearch<Backend>& search, const float* x, int64_t step, int64_t n,
                     int64_t rows_left) {
        const int64_t stride = search.row_stride();
        values_.resize(static_cast<size_t>(kRowTile * stride));
        const Grid grid = search.grid();
        for (int64_t i = 0; i < n; ++i) {
            // The same place one tile on, if it is there: no processor guesses the way through wide rows.
            __builtin_prefetch(x + std::min(i + kRowTile, rows_left - 1) * step);
            norms_[i] = Backend::put_on_grid(grid, x + i * step, values_.data() + i * stride);
        }
        std::fill(values_.data() + n * stride, values_.data() + (n + 7) / 8 * 8 * stride, Cell{0});
    }

    int64_t decided(const CodewordSearch<Backend>& search, const float* x, int64_t i, float best) const {
        if (!(norms_[i] <= kLargestNorm * kLargestNorm)) return search.nearest_of_all(x);
        const double limit = search.limit(best, norms_[i]);
        double least = HUGE_VAL;
        int64_t nearest = 0;
        for (int64_t t = 0; t < search.tiles(); ++t) {
            const CodewordTile<Backend> tile = search.tile(t);
            const int64_t first = search.tile_first(t);
            alignas(64) typename Backend::Score scores[kTileCodewords];
            Backend::scores(tile, values_.data() + i * search.row_stride(), scores);
            for (int64_t k = 0; k < std::min(tile.count, search.Ks() - first); ++k)
                if (scores[k] <= limit) search.decide(x, first + k, &least, &nearest);
        }
        return nearest;
    }

    Buffer<Cell> values_;
    float norms_[kRowTile];
};

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

template <typename Backend>
void encode(const float* vectors, int64_t n, const Codewords& codewords, int threads, int width, void* codes) {
    const int64_t M = codewords.M, Ds = codewords.Ds, D = M * Ds;
    const int useful_threads = n * D * codewords.Ks >= (1 << 22) ? threads : 1;
    std::unique_ptr<CodewordSearch<Backend>[]> searches(new CodewordSearch<Backend>[static_cast<size_t>(M)]);
    parallel_for(useful_threads, M, [&](int, int64_t m) {
        searches[static_cast<size_t>(m)].prepare(codewords, m, vectors + m * Ds, D, n);
    });
    parallel_for(useful_threads, (n + kRowTile - 1) / kRowTile, [&](int, int64_t task) {
        const int64_t first = task * kRowTile, count = std::min(kRowTile, n - first);
        RowSearch<Backend> rows;
        int64_t labels[kRowTile];
        for (int64_t m = 0; m < M; ++m) {
            rows.nearest(searches[static_cast<size_t>(m)], vectors + first * D + m * Ds, D, count, n - first, labels);
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
    std::unique_ptr<CodewordSearch<Backend>[]> searches(new CodewordSearch<Backend>[static_cast<size_t>(M)]);
    parallel_for(threads, M, [&](int, int64_t m) {
        searches[static_cast<size_t>(m)].prepare(codewords, m, groups + m * n * Ds, Ds, n);
    });
    const int64_t row_tiles = (n + kRowTile - 1) / kRowTile;
    constexpr int64_t kTaskTiles = 16;
    const int64_t tasks_of_m = (row_tiles + kTaskTiles - 1) / kTaskTiles;
    parallel_for(threads, M * tasks_of_m, [&](int, int64_t task) {
        const int64_t m = task / tasks_of_m, first_tile = task % tasks_of_m * kTaskTiles;
        RowSearch<Backend> rows;
        for (int64_t tile = first_tile; tile < std::min(first_tile + kTaskTiles, row_tiles); ++tile) {
            const int64_t first = tile * kRowTile, count = std::min(kRowTile, n - first);
            int64_t nearest[kRowTile];
            rows.nearest(searches[static_cast<size_t>(m)], groups + (m * n + first) * Ds, Ds, count, n - first,
                         nearest);
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
