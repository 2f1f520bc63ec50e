// Scores of codewords in NEON registers: whole numbers held as floats, four codewords a register.
#pragma once

#include <arm_neon.h>

#include <algorithm>

#include "common/nearest.h"
#include "common/top_k.h"

namespace pqstore {
namespace {

struct NeonNearest {
    using Cell = float;
    using Score = float;
    using Tile = CodewordTile<NeonNearest>;
    static constexpr int64_t kTogether = 1;

    // At most 2 Ds + 1 roundings of numbers below 1.5 * 2^30 and a little.
    static float rounding(int64_t Ds) { return 100 * static_cast<float>(2 * Ds + 1); }

    static float put_on_grid(const Grid& grid, const float* x, float* row) {
        constexpr float kLargest = 32767;
        float32x4_t norms = vdupq_n_f32(0);
        const auto put = [&](float32x4_t values, float32x4_t origin) {
            const float32x4_t place = vmulq_n_f32(vsubq_f32(values, origin), grid.scale);
            // Too far, or not finite: the norm tells, because of a number and a NaN vminnm takes the number.
            const float32x4_t near = vminnmq_f32(place, vdupq_n_f32(kLargest));
            const float32x4_t whole = vrndnq_f32(vmaxnmq_f32(near, vdupq_n_f32(-kLargest)));
            norms = vfmaq_f32(norms, whole, whole);
            return whole;
        };
        int64_t d = 0;
        for (; d + 4 <= grid.Ds; d += 4) vst1q_f32(row + d, put(vld1q_f32(x + d), vld1q_f32(grid.origin + d)));
        if (d < grid.Ds) {
            float last[4] = {};
            std::copy(x + d, x + grid.Ds, last);
            vst1q_f32(row + d, put(vld1q_f32(last), vld1q_f32(grid.origin + d)));
        }
        return vaddvq_f32(norms);
    }

    static void search(const Tile& tile, const GridRows<NeonNearest>& rows, int64_t n, TileWinners& winners) {
        float scores[kRows][kTileCodewords];
        for (int64_t i = 0; i < n; i += kRows) {
            Two two[kRows];
            for (int64_t first = 0; first < tile.count; first += kPanel) {
                float32x4_t sums[kRows][kVectors];
                panel_scores<kRows>(tile, first, rows.values + i * rows.stride, rows.stride, sums);
                for (int r = 0; r < kRows; ++r) {
                    for (int v = 0; v < kVectors; ++v) vst1q_f32(scores[r] + first + 4 * v, sums[r][v]);
                    float32x4_t least = sums[r][0];
                    for (int v = 1; v < kVectors; ++v) least = vminq_f32(least, sums[r][v]);
                    two[r].add(least, static_cast<int32_t>(first / kPanel));
                }
            }
            for (int r = 0; r < kRows; ++r) keep_winners(scores[r], two[r], winners, i + r);
        }
    }

    static void scores(const Tile& tile, const float* row, float* scores) {
        for (int64_t first = 0; first < tile.count; first += kPanel) {
            float32x4_t sums[1][kVectors];
            panel_scores<1>(tile, first, row, 0, sums);
            for (int v = 0; v < kVectors; ++v) vst1q_f32(scores + first + 4 * v, sums[0][v]);
        }
    }

  private:
    static constexpr int kRows = 2;  // scored together
    static constexpr int kVectors = kPanel / 4;
    static constexpr int32_t kCellBits = kTileCodewords / kVectors - 1;

    // In each lane the least of the panels' minima and the second least: whole numbers rounded down, with the panel and
    // the lane, the cell, in the low bits.
    struct Two {
        int32x4_t best = vdupq_n_s32(INT32_MAX), second = vdupq_n_s32(INT32_MAX);

        void add(float32x4_t least, int32_t panel) {
            constexpr int32_t kLanes[4] = {0, 1, 2, 3};
            const int32x4_t cell = vaddq_s32(vld1q_s32(kLanes), vdupq_n_s32(4 * panel));
            const int32x4_t score = vbslq_s32(vdupq_n_u32(kCellBits), cell, vcvtq_s32_f32(least));
            second = vminq_s32(second, vmaxq_s32(best, score));
            best = vminq_s32(best, score);
        }
    };

    // Scores of kCount rows, `stride` apart, for one panel.
    template <int kCount>
    static void panel_scores(const Tile& tile, int64_t first, const float* row, int64_t stride,
                             float32x4_t sums[kCount][kVectors]) {
        for (int v = 0; v < kVectors; ++v)
            for (int r = 0; r < kCount; ++r) sums[r][v] = vld1q_f32(tile.half_norms + first + 4 * v);
        const float* columns = tile.negated + first * tile.steps;
        for (int64_t d = 0; d < tile.steps; ++d, columns += kPanel)
            for (int v = 0; v < kVectors; ++v) {
                const float32x4_t column = vld1q_f32(columns + 4 * v);
                for (int r = 0; r < kCount; ++r) sums[r][v] = vfmaq_n_f32(sums[r][v], column, row[r * stride + d]);
            }
    }

    // The eight scores of the best cell say which codeword it was; the second may be another of them.
    static void keep_winners(const float* scores, const Two& two, TileWinners& winners, int64_t i) {
        const int32_t least = vminvq_s32(two.best), cell = least & kCellBits;
        // No other lane holds the same number, because no other has the same cell.
        const int32x4_t other_lanes =
            vbslq_s32(vceqq_s32(two.best, vdupq_n_s32(least)), vdupq_n_s32(INT32_MAX), two.best);
        float best = kInfinity, second = static_cast<float>(vminvq_s32(vminq_s32(other_lanes, two.second)));
        int32_t index = 0;
        for (int v = 0; v < kVectors; ++v) {
            const int32_t k = cell / 4 * static_cast<int32_t>(kPanel) + cell % 4 + 4 * v;
            second = std::min(second, std::max(best, scores[k]));
            index = scores[k] < best ? k : index;
            best = std::min(best, scores[k]);
        }
        winners.best[i] = best;
        winners.second[i] = second;
        winners.index[i] = index;
    }
};

}  // namespace
}  // namespace pqstore
