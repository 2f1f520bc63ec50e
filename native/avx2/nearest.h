// Scores of codewords in AVX2 registers: several rows against a panel of 32 codewords at a time.
#pragma once

#include <immintrin.h>

#include "../common/nearest.h"
#include "bytes.h"

namespace pqstore {
namespace {

struct Avx2Nearest {
    static constexpr int64_t kRows = 2;
    static constexpr int kVectors = kPanel / 8;

    static void search(const CodewordTile& tile, const float* const x[kRows], const float slack[kRows],
                       TileWinner winners[kRows]) {
        const int64_t Ds = tile.Ds;
        alignas(32) float scores[kRows][256];
        // In each of 8 lanes: the least and the second least of the panels' minima, and the panel of the least.
        __m256 best[kRows], second[kRows], best_panel[kRows];
        for (int r = 0; r < kRows; ++r) {
            best[r] = second[r] = _mm256_set1_ps(kInfinity);
            best_panel[r] = _mm256_setzero_ps();
        }
        for (int64_t first = 0; first < tile.count; first += kPanel) {
            __m256 sums[kRows][kVectors];
            for (int v = 0; v < kVectors; ++v)
                for (int r = 0; r < kRows; ++r) sums[r][v] = _mm256_load_ps(tile.half_norms + first + 8 * v);
            const float* columns = tile.columns + first * Ds;
            for (int64_t d = 0; d < Ds; ++d, columns += kPanel) {
                __m256 component[kRows];
                for (int r = 0; r < kRows; ++r) component[r] = _mm256_broadcast_ss(x[r] + d);
                for (int v = 0; v < kVectors; ++v) {
                    const __m256 column = _mm256_load_ps(columns + 8 * v);
                    for (int r = 0; r < kRows; ++r) sums[r][v] = _mm256_fnmadd_ps(component[r], column, sums[r][v]);
                }
            }
            const __m256 panel = _mm256_castsi256_ps(_mm256_set1_epi32(static_cast<int>(first)));
            for (int r = 0; r < kRows; ++r) {
                for (int v = 0; v < kVectors; ++v) _mm256_store_ps(scores[r] + first + 8 * v, sums[r][v]);
                const __m256 least =
                    _mm256_min_ps(_mm256_min_ps(sums[r][0], sums[r][1]), _mm256_min_ps(sums[r][2], sums[r][3]));
                second[r] = _mm256_min_ps(second[r], _mm256_max_ps(best[r], least));
                best_panel[r] = _mm256_blendv_ps(best_panel[r], panel, _mm256_cmp_ps(least, best[r], _CMP_LT_OQ));
                best[r] = _mm256_min_ps(best[r], least);
            }
        }
        for (int r = 0; r < kRows; ++r) winners[r] = winner(scores[r], best[r], second[r], best_panel[r], slack[r]);
    }

  private:
    static TileWinner winner(const float* scores, __m256 best, __m256 second, __m256 best_panel, float slack) {
        const float least = least_of(best);
        const __m256 limit = _mm256_set1_ps(least + slack);
        const unsigned near_best = static_cast<unsigned>(_mm256_movemask_ps(_mm256_cmp_ps(best, limit, _CMP_LE_OQ)));
        const unsigned near_second =
            static_cast<unsigned>(_mm256_movemask_ps(_mm256_cmp_ps(second, limit, _CMP_LE_OQ)));
        if (near_best == 0 || (near_best & (near_best - 1)) || near_second) return {least, 0, false};
        // One lane of one panel: four scores.
        alignas(32) int panels[8];
        _mm256_store_si256(reinterpret_cast<__m256i*>(panels), _mm256_castps_si256(best_panel));
        const int lane = __builtin_ctz(near_best), cell = panels[lane] + lane;
        int index = 0, candidates = 0;
        for (int v = 0; v < kVectors; ++v) {
            const bool candidate = scores[cell + 8 * v] <= least + slack;
            candidates += candidate;
            index = candidate ? cell + 8 * v : index;
        }
        return {least, index, candidates == 1};
    }
};

}  // namespace
}  // namespace pqstore
