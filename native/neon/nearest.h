// Scores of codewords in NEON registers: several rows against a panel of 32 codewords at a time.
#pragma once

#include <arm_neon.h>

#include "../common/nearest.h"

namespace pqstore {
namespace {

struct NeonNearest {
    static constexpr int64_t kRows = 2;
    static constexpr int kVectors = kPanel / 4;

    static void search(const CodewordTile& tile, const float* const x[kRows], const float slack[kRows],
                       TileWinner winners[kRows]) {
        const int64_t Ds = tile.Ds;
        float scores[kRows][256];
        // In each of 4 lanes: the least and the second least of the panels' minima, and the panel of the least.
        float32x4_t best[kRows], second[kRows];
        uint32x4_t best_panel[kRows];
        for (int r = 0; r < kRows; ++r) {
            best[r] = second[r] = vdupq_n_f32(kInfinity);
            best_panel[r] = vdupq_n_u32(0);
        }
        for (int64_t first = 0; first < tile.count; first += kPanel) {
            float32x4_t sums[kRows][kVectors];
            for (int v = 0; v < kVectors; ++v)
                for (int r = 0; r < kRows; ++r) sums[r][v] = vld1q_f32(tile.half_norms + first + 4 * v);
            const float* columns = tile.columns + first * Ds;
            for (int64_t d = 0; d < Ds; ++d, columns += kPanel) {
                for (int v = 0; v < kVectors; ++v) {
                    const float32x4_t column = vld1q_f32(columns + 4 * v);
                    for (int r = 0; r < kRows; ++r) sums[r][v] = vfmsq_n_f32(sums[r][v], column, x[r][d]);
                }
            }
            const uint32x4_t panel = vdupq_n_u32(static_cast<uint32_t>(first));
            for (int r = 0; r < kRows; ++r) {
                for (int v = 0; v < kVectors; ++v) vst1q_f32(scores[r] + first + 4 * v, sums[r][v]);
                float32x4_t least = sums[r][0];
                for (int v = 1; v < kVectors; ++v) least = vminq_f32(least, sums[r][v]);
                second[r] = vminq_f32(second[r], vmaxq_f32(best[r], least));
                best_panel[r] = vbslq_u32(vcltq_f32(least, best[r]), panel, best_panel[r]);
                best[r] = vminq_f32(best[r], least);
            }
        }
        for (int r = 0; r < kRows; ++r) winners[r] = winner(scores[r], best[r], second[r], best_panel[r], slack[r]);
    }

  private:
    static TileWinner winner(const float* scores, float32x4_t best, float32x4_t second, uint32x4_t best_panel,
                             float slack) {
        const float least = vminvq_f32(best);
        const float32x4_t limit = vdupq_n_f32(least + slack);
        // Where the least is sure, one lane has it and no lane has two: then its cell is the only one that is not zero.
        const uint32x4_t near_best = vcleq_f32(best, limit), near_second = vcleq_f32(second, limit);
        if (vaddvq_u32(vshrq_n_u32(near_best, 31)) != 1 || vmaxvq_u32(near_second)) return {least, 0, false};
        // One lane of one panel: eight scores.
        constexpr uint32_t kLanes[4] = {0, 1, 2, 3};
        const int cell = static_cast<int>(vaddvq_u32(vandq_u32(near_best, vaddq_u32(best_panel, vld1q_u32(kLanes)))));
        int index = 0, candidates = 0;
        for (int v = 0; v < kVectors; ++v) {
            const bool candidate = scores[cell + 4 * v] <= least + slack;
            candidates += candidate;
            index = candidate ? cell + 4 * v : index;
        }
        return {least, index, candidates == 1};
    }
};

}  // namespace
}  // namespace pqstore
