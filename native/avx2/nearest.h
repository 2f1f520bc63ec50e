// Scores of codewords in AVX2 registers: products of 16-bit numbers, two dimensions of eight codewords at a time.
#pragma once

#include <immintrin.h>

#include "avx2/tables.h"
#include "common/nearest.h"

namespace pqstore {
namespace {

struct Avx2Nearest {
    using Cell = int16_t;
    using Score = int32_t;
    using Tile = CodewordTile<Avx2Nearest>;
    using Rows = GridRows<Avx2Nearest>;
    static constexpr int64_t kTogether = 2;

    static float rounding(int64_t) { return 0; }

    static float put_on_grid(const Grid& grid, const float* x, int16_t* row) {
        const __m256 scale = _mm256_set1_ps(grid.scale), largest = _mm256_set1_ps(32767.0f);
        __m256 norm = _mm256_setzero_ps();
        for (int64_t d = 0; d < grid.Ds; d += 8) {
            const __m256 values = grid.Ds - d >= 8 ? _mm256_loadu_ps(x + d)
                                                   : _mm256_maskload_ps(x + d, first_lanes(grid.Ds - d));
            const __m256 place = _mm256_mul_ps(_mm256_sub_ps(values, _mm256_load_ps(grid.origin + d)), scale);
            // Too far, or not finite: the norm tells.
            const __m256 inside = _mm256_max_ps(_mm256_min_ps(place, largest), _mm256_set1_ps(-32767.0f));
            const __m256i cells = _mm256_cvtps_epi32(inside);
            const __m256 whole = _mm256_cvtepi32_ps(cells);
            norm = _mm256_add_ps(norm, _mm256_mul_ps(whole, whole));
            _mm_store_si128(reinterpret_cast<__m128i*>(row + d),
                            _mm_packs_epi32(_mm256_castsi256_si128(cells), _mm256_extracti128_si256(cells, 1)));
        }
        __m128 sum = _mm_add_ps(_mm256_castps256_ps128(norm), _mm256_extractf128_ps(norm, 1));
        sum = _mm_add_ps(sum, _mm_movehl_ps(sum, sum));
        return _mm_cvtss_f32(_mm_add_ss(sum, _mm_movehdup_ps(sum)));
    }

    static void search(const Tile& tile, const Rows& rows, int64_t n, TileWinners& winners) {
        switch (tile.steps) {
            case 2: return search_pairs<2>(tile, rows, n, winners);
            case 4: return search_pairs<4>(tile, rows, n, winners);
            default: return search_pairs<0>(tile, rows, n, winners);
        }
    }

    static void scores(const Tile& tile, const int16_t* row, int32_t* scores) {
        for (int64_t first = 0; first < tile.count; first += kPanel) {
            __m256i sums[1][kVectors];
            panel_scores<1>(tile, first, row, 0, sums);
            for (int v = 0; v < kVectors; ++v) store(scores + first + 8 * v, sums[0][v]);
        }
    }

  private:
    static constexpr int kVectors = kPanel / 8;

    static constexpr int32_t kCellBits = kTileCodewords / kVectors - 1;

    // In each lane the least of the panels' minima and the second least: rounded down, with the panel and the lane, its
    // cell, in the low bits.
    struct Two {
        __m256i best, second;

        void add(__m256i least, __m256i cell) {
            const __m256i score = _mm256_or_si256(_mm256_andnot_si256(_mm256_set1_epi32(kCellBits), least), cell);
            second = _mm256_min_epi32(second, _mm256_max_epi32(best, score));
            best = _mm256_min_epi32(best, score);
        }
    };

    static Two either(__m256i best_a, __m256i best_b, __m256i second_a, __m256i second_b) {
        return {_mm256_min_epi32(best_a, best_b),
                _mm256_min_epi32(_mm256_max_epi32(best_a, best_b), _mm256_min_epi32(second_a, second_b))};
    }

    // Scores of kRows rows for a panel, any number of pairs of dimensions.
    template <int kRows>
    static void panel_scores(const Tile& tile, int64_t first, const int16_t* row, int64_t stride,
                             __m256i sums[kRows][kVectors]) {
        const __m256i* columns = reinterpret_cast<const __m256i*>(tile.negated + first * 2 * tile.steps);
        for (int v = 0; v < kVectors; ++v)
            for (int r = 0; r < kRows; ++r)
                sums[r][v] = load(tile.half_norms + first + 8 * v);
        for (int64_t p = 0; p < tile.steps; ++p, columns += kVectors) {
            __m256i pair[kRows];
            for (int r = 0; r < kRows; ++r) pair[r] = both(row + r * stride + 2 * p);
            for (int v = 0; v < kVectors; ++v) {
                const __m256i column = _mm256_load_si256(columns + v);
                for (int r = 0; r < kRows; ++r)
                    sums[r][v] = _mm256_add_epi32(sums[r][v], _mm256_madd_epi16(pair[r], column));
            }
        }
    }

    static __m256i load(const int32_t* from) { return _mm256_load_si256(reinterpret_cast<const __m256i*>(from)); }
    static void store(int32_t* to, __m256i value) { _mm256_store_si256(reinterpret_cast<__m256i*>(to), value); }

    // Two components in each of eight lanes.
    static __m256i both(const int16_t* components) {
        int32_t pair;
        __builtin_memcpy(&pair, components, sizeof pair);
        return _mm256_set1_epi32(pair);
    }

    // All scores of two rows, each `scores` kTileCodewords apart, and the winners in each lane.
    template <int kPairs>
    static void search_rows(const Tile& tile, const int16_t* row, int64_t stride, int32_t* scores,
                            Two winners[2]) {
        const __m256i largest = _mm256_set1_epi32(INT32_MAX);
        __m256i least[2][kTileCodewords / kPanel];
        if constexpr (kPairs > 0) {
            // Few pairs of dimensions: the rows stay in registers.
            __m256i pair_a[kPairs], pair_b[kPairs];
            for (int p = 0; p < kPairs; ++p) {
                pair_a[p] = both(row + 2 * p);
                pair_b[p] = both(row + stride + 2 * p);
            }
            const __m256i* columns = reinterpret_cast<const __m256i*>(tile.negated);
            for (int64_t panel = 0; panel < tile.count / kPanel; ++panel, columns += kVectors * kPairs) {
                __m256i least_a = largest, least_b = largest;
                for (int v = 0; v < kVectors; ++v) {
                    const int64_t k = panel * kPanel + 8 * v;
                    __m256i score_a = load(tile.half_norms + k), score_b = score_a;
                    for (int p = 0; p < kPairs; ++p) {
                        __m256i column = _mm256_load_si256(columns + p * kVectors + v);
                        asm("" : "+x"(column));  // one load for both rows: loads are what this loop has most of
                        score_a = _mm256_add_epi32(score_a, _mm256_madd_epi16(pair_a[p], column));
                        score_b = _mm256_add_epi32(score_b, _mm256_madd_epi16(pair_b[p], column));
                    }
                    store(scores + k, score_a);
                    store(scores + kTileCodewords + k, score_b);
                    least_a = _mm256_min_epi32(least_a, score_a);
                    least_b = _mm256_min_epi32(least_b, score_b);
                }
                least[0][panel] = least_a;
                least[1][panel] = least_b;
            }
        } else {
            for (int64_t panel = 0; panel < tile.count / kPanel; ++panel) {
                __m256i sums[2][kVectors];
                panel_scores<2>(tile, panel * kPanel, row, stride, sums);
                for (int r = 0; r < 2; ++r) {
                    for (int v = 0; v < kVectors; ++v)
                        store(scores + r * kTileCodewords + panel * kPanel + 8 * v, sums[r][v]);
                    least[r][panel] = _mm256_min_epi32(_mm256_min_epi32(sums[r][0], sums[r][1]),
                                                       _mm256_min_epi32(sums[r][2], sums[r][3]));
                }
            }
        }
        Two a{largest, largest}, b = a;
        __m256i cell = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
        for (int64_t panel = 0; panel < tile.count / kPanel; ++panel) {
            a.add(least[0][panel], cell);
            b.add(least[1][panel], cell);
            cell = _mm256_add_epi32(cell, _mm256_set1_epi32(8));
        }
        winners[0] = a;
        winners[1] = b;
    }

    template <int kPairs>
    static void search_pairs(const Tile& tile, const Rows& rows, int64_t n, TileWinners& winners) {
        alignas(32) int32_t scores[8][kTileCodewords];
        for (int64_t i = 0; i < n; i += 8) {
            Two two[8];
            for (int r = 0; r < 8; r += 2)
                search_rows<kPairs>(tile, rows.values + (i + r) * rows.stride, rows.stride, scores[r], two + r);
            // Lanes of eight rows to one lane a row.
            Two pairs[4], quads[2];
            for (int r = 0; r < 4; ++r) {
                const Two &a = two[2 * r], &b = two[2 * r + 1];
                pairs[r] = either(_mm256_unpacklo_epi32(a.best, b.best), _mm256_unpackhi_epi32(a.best, b.best),
                                  _mm256_unpacklo_epi32(a.second, b.second), _mm256_unpackhi_epi32(a.second, b.second));
            }
            for (int r = 0; r < 2; ++r) {
                const Two &a = pairs[2 * r], &b = pairs[2 * r + 1];
                quads[r] = either(_mm256_unpacklo_epi64(a.best, b.best), _mm256_unpackhi_epi64(a.best, b.best),
                                  _mm256_unpacklo_epi64(a.second, b.second), _mm256_unpackhi_epi64(a.second, b.second));
            }
            const Two &a = quads[0], &b = quads[1];
            const Two all = either(_mm256_permute2x128_si256(a.best, b.best, 0x20),
                                   _mm256_permute2x128_si256(a.best, b.best, 0x31),
                                   _mm256_permute2x128_si256(a.second, b.second, 0x20),
                                   _mm256_permute2x128_si256(a.second, b.second, 0x31));
            keep_winners(scores, all, winners, i);
        }
    }

    // The four scores of each row's cell say which codeword it was; the cell holds other seconds too.
    static void keep_winners(const int32_t (*scores)[kTileCodewords], Two all, TileWinners& winners, int64_t i) {
        const __m256i cell = _mm256_and_si256(all.best, _mm256_set1_epi32(kCellBits));
        const __m256i lane = _mm256_and_si256(cell, _mm256_set1_epi32(7));
        const __m256i index = _mm256_add_epi32(lane, _mm256_slli_epi32(_mm256_sub_epi32(cell, lane), 2));
        const __m256i rows = _mm256_mullo_epi32(_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7),
                                                _mm256_set1_epi32(static_cast<int32_t>(kTileCodewords)));
        const __m256i places = _mm256_add_epi32(index, rows);
        Two two{_mm256_i32gather_epi32(scores[0], places, 4), all.second};
        __m256i vector = _mm256_setzero_si256();
        for (int v = 1; v < kVectors; ++v) {
            const __m256i score = _mm256_i32gather_epi32(scores[0] + 8 * v, places, 4);
            const __m256i less = _mm256_cmpgt_epi32(two.best, score);
            vector = _mm256_blendv_epi8(vector, _mm256_set1_epi32(8 * v), less);
            two.second = _mm256_min_epi32(two.second, _mm256_max_epi32(two.best, score));
            two.best = _mm256_min_epi32(two.best, score);
        }
        _mm256_storeu_ps(winners.best + i, _mm256_cvtepi32_ps(two.best));
        _mm256_storeu_ps(winners.second + i, _mm256_cvtepi32_ps(two.second));
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(winners.index + i), _mm256_add_epi32(index, vector));
    }
};

}  // namespace
}  // namespace pqstore
