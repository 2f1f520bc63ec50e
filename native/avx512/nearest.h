// Scores of codewords in AVX-512 registers: VNNI adds the products of two dimensions of sixteen codewords at a time.
#pragma once

#include <immintrin.h>

#include "avx2/nearest.h"
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

    // Of registers of 64 bytes sub-vectors would leave most empty.
    static float put_on_grid(const Grid& grid, const float* x, int16_t* row) {
        return Avx2Nearest::put_on_grid(grid, x, row);
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
    static_assert(kTileCodewords == 256);
    static constexpr int64_t kRows = 16;      // of which the winners are found together
    static constexpr int64_t kShare = 4;  // rows that share each load of codewords
    static constexpr int32_t kNumber = 255;   // the low bits of a score, which say whose it is

    static __m512i load(const void* from) { return _mm512_loadu_si512(from); }
    static void store(int32_t* to, __m512i value) { _mm512_storeu_si512(to, value); }

    // A load that several instructions share; left alone, the compiler loads for each of them.
    static __m512i in_register(__m512i value) {
#ifndef PQSTORE_SIMDE
        asm("" : "+v"(value));
#endif
        return value;
    }

    // Two components in each of sixteen lanes.
    static __m512i both(const int16_t* components) {
        int32_t pair;
        __builtin_memcpy(&pair, components, sizeof pair);
        return _mm512_set1_epi32(pair);
    }

    // In each lane the least score and the second least: rounded down, with the number of the codeword in the low bits.
    struct Two {
        __m512i best, second;

        void add(__m512i score, __m512i number) {
            const __m512i named = _mm512_or_si512(_mm512_andnot_si512(_mm512_set1_epi32(kNumber), score), number);
            second = _mm512_min_epi32(second, _mm512_max_epi32(best, named));
            best = _mm512_min_epi32(best, named);
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

    // The winners of kShare rows in each lane. kPairs: the pairs of dimensions if they are few, so that the rows stay in
    // registers, else 0.
    template <int kPairs>
    [[gnu::always_inline]] static void search_rows(const Tile& tile, const int16_t* row, int64_t stride, Two* winners) {
        constexpr int kVectors = kPairs > 0 ? 1 : 2;  // of codewords at a time: what registers hold beside the rows
        const int64_t steps = kPairs > 0 ? kPairs : tile.steps;
        __m512i kept[kShare][kPairs + 1];
        Two two[kShare];
        for (int r = 0; r < kShare; ++r) {
            for (int p = 0; p < kPairs; ++p) kept[r][p] = both(row + r * stride + 2 * p);
            two[r].best = two[r].second = _mm512_set1_epi32(INT32_MAX);
        }
        __m512i number = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
        for (int64_t k = 0; k < tile.count; k += 16 * kVectors) {
            const int16_t* columns = tile.negated + 2 * (k / kPanel * kPanel * steps + k % kPanel);
            __m512i sums[kShare][kVectors];
            for (int v = 0; v < kVectors; ++v)
                for (int r = 0; r < kShare; ++r) sums[r][v] = load(tile.half_norms + k + 16 * v);
            for (int64_t p = 0; p < steps; ++p)
                for (int v = 0; v < kVectors; ++v) {
                    const __m512i column = in_register(load(columns + 64 * p + 32 * v));
                    for (int r = 0; r < kShare; ++r) {
                        const __m512i x = kPairs > 0 ? kept[r][p] : both(row + r * stride + 2 * p);
                        sums[r][v] = _mm512_dpwssd_epi32(sums[r][v], x, column);
                    }
                }
            for (int v = 0; v < kVectors; ++v) {
                for (int r = 0; r < kShare; ++r) two[r].add(sums[r][v], number);
                number = _mm512_add_epi32(number, _mm512_set1_epi32(16));
            }
        }
        for (int r = 0; r < kShare; ++r) winners[r] = two[r];
    }

    template <int kPairs>
    static void search_pairs(const Tile& tile, const Rows& rows, int64_t n, TileWinners& winners) {
        for (int64_t i = 0; i < n; i += kRows) {
            Two two[kRows];
            const int64_t there = std::min<int64_t>(kRows, (n - i + 7) / 8 * 8);  // rows come in eights
            for (int64_t r = 0; r < kRows; r += kShare)
                search_rows<kPairs>(tile, rows.values + (i + std::min(r, there - kShare)) * rows.stride, rows.stride,
                                    two + r);
            const Two all = one_lane_a_row(two);
            const __m512i number = _mm512_set1_epi32(kNumber);
            _mm512_storeu_ps(winners.best + i, _mm512_cvtepi32_ps(_mm512_andnot_si512(number, all.best)));
            _mm512_storeu_ps(winners.second + i, _mm512_cvtepi32_ps(_mm512_andnot_si512(number, all.second)));
            store(winners.index + i, _mm512_and_si512(number, all.best));
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
};

}  // namespace
}  // namespace pqstore
