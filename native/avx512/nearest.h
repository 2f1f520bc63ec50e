// Scores of codewords in AVX-512 registers: VNNI adds the products of two dimensions of sixteen codewords at a time.
#pragma once

#include <immintrin.h>

#include "common/nearest.h"

namespace pqstore {
namespace {

struct Avx512Nearest {
    using Cell = int16_t;
    using Score = int32_t;
    using Tile = CodewordTile<Avx512Nearest>;
    using Rows = GridRows<Avx512Nearest>;
    static constexpr int64_t kTogether = 2;

    static float rounding(int64_t) { return 0; }

    static float put_on_grid(const Grid& grid, const float* x, int16_t* row) {
        const __m512 scale = _mm512_set1_ps(grid.scale), largest = _mm512_set1_ps(32767.0f);
        const auto first = [](int64_t count) {
            return static_cast<__mmask16>(count >= 16 ? 0xffff : (1u << count) - 1);
        };
        __m512 norm = _mm512_setzero_ps();
        for (int64_t d = 0; d < grid.Ds; d += 16) {
            const __mmask16 there = first(grid.Ds - d), room = first((grid.Ds - d + 7) / 8 * 8);
            const __m512 values = _mm512_maskz_loadu_ps(there, x + d);
            const __m512 origin = _mm512_maskz_loadu_ps(there, grid.origin + d);
            const __m512 place = _mm512_mul_ps(_mm512_sub_ps(values, origin), scale);
            // Too far, or not finite: the norm tells.
            const __m512 inside = _mm512_max_ps(_mm512_min_ps(place, largest), _mm512_set1_ps(-32767.0f));
            const __m512i cells = _mm512_cvtps_epi32(inside);
            const __m512 whole = _mm512_cvtepi32_ps(cells);
            norm = _mm512_add_ps(norm, _mm512_mul_ps(whole, whole));
            _mm256_mask_storeu_epi16(row + d, room, _mm512_cvtsepi32_epi16(cells));
        }
        return _mm512_reduce_add_ps(norm);
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
            const int16_t* columns = tile.negated + first * 2 * tile.steps;
            __m512i sums[2] = {load(tile.half_norms + first), load(tile.half_norms + first + 16)};
            for (int64_t p = 0; p < tile.steps; ++p)
                for (int v = 0; v < 2; ++v)
                    sums[v] = _mm512_dpwssd_epi32(sums[v], both(row + 2 * p), load(columns + 64 * p + 32 * v));
            store(scores + first, sums[0]);
            store(scores + first + 16, sums[1]);
        }
    }

  private:
    static_assert(kPanel == 32);
    static constexpr int64_t kRows = 16;       // of which the winners are found together
    static constexpr int32_t kCellBits = 127;  // 16 lanes, 8 panels

    static __m512i load(const void* from) { return _mm512_loadu_si512(from); }
    static void store(int32_t* to, __m512i value) { _mm512_storeu_si512(to, value); }

    // Two components in each of sixteen lanes.
    static __m512i both(const int16_t* components) {
        int32_t pair;
        __builtin_memcpy(&pair, components, sizeof pair);
        return _mm512_set1_epi32(pair);
    }

    // In each lane the least of the panels' minima and the second least: rounded down, with the panel and the lane, its
    // cell, in the low bits.
    struct Two {
        __m512i best, second;

        void add(__m512i least, __m512i cell) {
            const __m512i rounded = _mm512_andnot_si512(_mm512_set1_epi32(kCellBits), least);
            const __m512i score = _mm512_or_si512(rounded, cell);
            second = _mm512_min_epi32(second, _mm512_max_epi32(best, score));
            best = _mm512_min_epi32(best, score);
        }
    };

    // The two least of lanes that `low` and `high` pick out of `a` and `b`.
    template <typename Low, typename High>
    [[gnu::always_inline]] static Two either(const Two& a, const Two& b, const Low& low, const High& high) {
        const __m512i best_a = low(a.best, b.best), best_b = high(a.best, b.best);
        return {_mm512_min_epi32(best_a, best_b),
                _mm512_min_epi32(_mm512_max_epi32(best_a, best_b),
                                 _mm512_min_epi32(low(a.second, b.second), high(a.second, b.second)))};
    }

    // All scores of two rows, each `scores` kTileCodewords apart, and the winners in each lane. kPairs: the pairs of
    // dimensions if they are few, so that the rows stay in registers, else 0.
    template <int kPairs>
    [[gnu::always_inline]] static void search_rows(const Tile& tile, const int16_t* row, int64_t stride,
                                                   int32_t* scores, Two winners[2]) {
        const __m512i largest = _mm512_set1_epi32(INT32_MAX);
        const int64_t steps = kPairs > 0 ? kPairs : tile.steps;
        __m512i kept_a[kPairs + 1], kept_b[kPairs + 1];
        for (int p = 0; p < kPairs; ++p) {
            kept_a[p] = both(row + 2 * p);
            kept_b[p] = both(row + stride + 2 * p);
        }
        Two a{largest, largest}, b = a;
        __m512i cell = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
        const int16_t* columns = tile.negated;
        for (int64_t k = 0; k < tile.count; k += kPanel, columns += 2 * kPanel * steps) {
            __m512i sums_a[2], sums_b[2];
            for (int v = 0; v < 2; ++v) sums_a[v] = sums_b[v] = load(tile.half_norms + k + 16 * v);
            for (int64_t p = 0; p < steps; ++p) {
                const __m512i x = kPairs > 0 ? kept_a[p] : both(row + 2 * p);
                const __m512i y = kPairs > 0 ? kept_b[p] : both(row + stride + 2 * p);
                for (int v = 0; v < 2; ++v) {
                    const __m512i column = load(columns + 64 * p + 32 * v);
                    sums_a[v] = _mm512_dpwssd_epi32(sums_a[v], x, column);
                    sums_b[v] = _mm512_dpwssd_epi32(sums_b[v], y, column);
                }
            }
            for (int v = 0; v < 2; ++v) {
                store(scores + k + 16 * v, sums_a[v]);
                store(scores + kTileCodewords + k + 16 * v, sums_b[v]);
            }
            a.add(_mm512_min_epi32(sums_a[0], sums_a[1]), cell);
            b.add(_mm512_min_epi32(sums_b[0], sums_b[1]), cell);
            cell = _mm512_add_epi32(cell, _mm512_set1_epi32(16));
        }
        winners[0] = a;
        winners[1] = b;
    }

    template <int kPairs>
    static void search_pairs(const Tile& tile, const Rows& rows, int64_t n, TileWinners& winners) {
        alignas(64) int32_t scores[kRows][kTileCodewords];
        for (int64_t i = 0; i < n; i += kRows) {
            Two two[kRows];
            const int64_t there = std::min<int64_t>(kRows, (n - i + 7) / 8 * 8);  // rows come in eights
            for (int64_t r = 0; r < kRows; r += 2)
                search_rows<kPairs>(tile, rows.values + (i + std::min(r, there - 2)) * rows.stride, rows.stride,
                                    scores[r], two + r);
            keep_winners(scores, one_lane_a_row(two), winners, i);
        }
    }

    // Lanes of sixteen rows to one lane a row.
    static Two one_lane_a_row(const Two rows[kRows]) {
        const auto join = [](const Two& a, const Two& b, const auto& low, const auto& high) {
            return either(a, b, low, high);
        };
        Two eights[8], fours[4], pairs[2];
        for (int r = 0; r < 8; ++r)  // 128-bit lanes: row r twice, row r + 8 twice
            eights[r] = join(
                rows[r], rows[r + 8], [](__m512i x, __m512i y) { return _mm512_shuffle_i64x2(x, y, 0x44); },
                [](__m512i x, __m512i y) { return _mm512_shuffle_i64x2(x, y, 0xee); });
        for (int r = 0; r < 4; ++r)  // r, r + 8, r + 4, r + 12
            fours[r] = join(
                eights[r], eights[r + 4], [](__m512i x, __m512i y) { return _mm512_shuffle_i64x2(x, y, 0x88); },
                [](__m512i x, __m512i y) { return _mm512_shuffle_i64x2(x, y, 0xdd); });
        for (int r = 0; r < 2; ++r)  // in each 128-bit lane r, r, r + 2, r + 2, of its four rows
            pairs[r] = join(
                fours[r], fours[r + 2], [](__m512i x, __m512i y) { return _mm512_unpacklo_epi64(x, y); },
                [](__m512i x, __m512i y) { return _mm512_unpackhi_epi64(x, y); });
        const Two all = join(
            pairs[0], pairs[1],
            [](__m512i x, __m512i y) {
                return _mm512_mask_blend_epi32(0xaaaa, x, _mm512_shuffle_epi32(y, _MM_PERM_CDAB));
            },
            [](__m512i x, __m512i y) {
                return _mm512_mask_blend_epi32(0xaaaa, _mm512_shuffle_epi32(x, _MM_PERM_CDAB), y);
            });
        // Rows 0..3, 8..11, 4..7, 12..15.
        return {_mm512_shuffle_i64x2(all.best, all.best, 0xd8), _mm512_shuffle_i64x2(all.second, all.second, 0xd8)};
    }

    // The two scores of each row's cell say which codeword it was; the cell holds another second too.
    static void keep_winners(const int32_t (*scores)[kTileCodewords], const Two& all, TileWinners& winners, int64_t i) {
        alignas(64) int32_t cells[kRows], seconds[kRows];
        store(cells, _mm512_and_si512(all.best, _mm512_set1_epi32(kCellBits)));
        store(seconds, all.second);
        const int64_t there = std::min(kRows, kRowTile - i);
        for (int64_t r = 0; r < there; ++r) {
            const int32_t index = 2 * (cells[r] & ~15) + (cells[r] & 15);
            const int32_t first = scores[r][index], other = scores[r][index + 16];
            winners.best[i + r] = static_cast<float>(std::min(first, other));
            winners.second[i + r] = static_cast<float>(std::min(seconds[r], std::max(first, other)));
            winners.index[i + r] = other < first ? index + 16 : index;
        }
    }
};

}  // namespace
}  // namespace pqstore
