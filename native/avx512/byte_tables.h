// A query's tables as bytes: for each sub-space the entries above the least one, scaled and rounded down.
//
// Labels are arranged so that codewords with a common prefix are similar (pqstore/kernels/reference/labelling.py): the
// low nibble names one of 16 groups, bits 7, 6, 5, 4 its halves, quarters and so on. A bound of 6 or 7 bits takes the
// least entry of the codewords that share the low nibble and the first 2 or 3 of these; one of 8 bits takes each entry.
#pragma once

#include <immintrin.h>

#include <cmath>
#include <cstring>

#include "avx512/bytes.h"
#include "common/top_k.h"

namespace pqstore {
namespace {

// What must be known of a query's tables before they are scaled.
struct TableSums {
    double base = 0;        // of the least entries
    double magnitudes = 0;  // of their absolute values
    double mean = 0;        // the mean distance of a row whose codes are all equally likely

    // `tables`: M of kSize floats; `least`: out, the least entry of each.
    template <int kSize>
    static TableSums of(const float* tables, int64_t M, float* least) {
        const __m512 infinity = _mm512_set1_ps(kInfinity);
        TableSums sums;
        for (int64_t m = 0; m < M; ++m, tables += kSize) {
            __m512 low = infinity, total = _mm512_setzero_ps();
            int64_t finite = 0;  // labels without a codeword are infinitely far
            for (int i = 0; i < kSize / 16; ++i) {
                const __m512 row = _mm512_loadu_ps(tables + 16 * i);
                // The new value comes first: the minimum is its second operand if one is NaN.
                low = _mm512_min_ps(row, low);
                const __mmask16 known = _mm512_cmp_ps_mask(_mm512_abs_ps(row), infinity, _CMP_LT_OQ);
                total = _mm512_mask_add_ps(total, known, total, row);
                finite += __builtin_popcount(known);
            }
            least[m] = _mm512_reduce_min_ps(low);
            sums.base += least[m];
            sums.magnitudes += std::fabs(static_cast<double>(least[m]));
            sums.mean += static_cast<double>(_mm512_reduce_add_ps(total)) / static_cast<double>(finite);
        }
        return sums;
    }
};

// Low nibble as it is, bits 7, 6, 5, 4 to 5, 4, 6, 7: the low six or seven bits are a prefix of as many bits.
inline __m512i prefix_first(__m512i codes) {
    return _mm512_gf2p8affine_epi64_epi8(codes, _mm512_set1_epi64(0x0102040840802010ll), 0);
}

// Undoes prefix_first.
inline __m512i prefix_back(__m512i indices) {
    return _mm512_gf2p8affine_epi64_epi8(indices, _mm512_set1_epi64(0x0102040880401020ll), 0);
}

// Which six bits of a label are looked up in a table of 64 bytes; the others choose the table.
enum class TableOrder {
    kPrefix,  // the low six bits of prefix_first(label), for bounds of any number of bits
    kLabel,   // the low six bits of the label, for bounds of 8 bits: they need no prefix_first
};

// The 2^kBits bytes of one sub-space.
template <int kBits, TableOrder kOrder>
inline void quantize_subspace(const float* entries, float least, __m512 factor, uint8_t* bytes) {
    static_assert(kOrder == TableOrder::kPrefix || kBits == 8);
    constexpr int kTables = 1 << (kBits - 6), kRows = 4 / kTables;
    for (int table = 0; table < kTables; ++table) {
        __m512 groups[4];
        for (int i = 0; i < 4; ++i) {
            // A row of 16 entries has the high nibble of the label in common.
            const int row = kOrder == TableOrder::kLabel ? 4 * table + i
                            : kBits == 8                 ? 4 * i + 2 * (table & 1) + (table >> 1)
                                                         : 4 * i + kRows * table;
            __m512 low = _mm512_set1_ps(kInfinity);  // what a NaN, the first operand of the minimum, gives way to
            for (int j = 0; j < kRows; ++j) low = _mm512_min_ps(_mm512_loadu_ps(entries + 16 * (row + j)), low);
            groups[i] = _mm512_sub_ps(low, _mm512_set1_ps(least));
        }
        store64(bytes + 64 * table, down_to_bytes(groups, factor));
    }
}

// How finely codes are told apart by a bound: the first `split` sub-spaces by `high` bits, the others by one bit less.
// Rows that remain become fewer by a factor with each bit more, and the cost rises in proportion: the best is between.
struct BoundBits {
    int high;  // 7 or 8
    int64_t split;

    // Where the bytes of a sub-space begin.
    int64_t offset(int64_t m) const { return m <= split ? m << high : (split << high) + ((m - split) << (high - 1)); }
};

// Bytes of M sub-spaces, and of one more if M is odd, which adds nothing whatever its codes. kOrder: of those of 8
// bits.
template <TableOrder kOrder>
void quantize_tables(const float* tables, int64_t M, const float* least, const BoundBits& bits, float scale,
                     uint8_t* bytes) {
    const __m512 factor = _mm512_set1_ps(scale);
    for (int64_t m = 0; m < M; ++m) {
        const float* entries = tables + 256 * m;
        uint8_t* to = bytes + bits.offset(m);
        switch (m < bits.split ? bits.high : bits.high - 1) {
            case 6: quantize_subspace<6, TableOrder::kPrefix>(entries, least[m], factor, to); break;
            case 7: quantize_subspace<7, TableOrder::kPrefix>(entries, least[m], factor, to); break;
            default: quantize_subspace<8, kOrder>(entries, least[m], factor, to);
        }
    }
    if (M % 2) std::memset(bytes + bits.offset(M), 0, static_cast<size_t>(bits.offset(M + 1) - bits.offset(M)));
}

// The same of 4-bit codes: 16 bytes a sub-space.
inline void quantize_nibbles(const float* tables, int64_t M, const float* least, float scale, uint8_t* bytes) {
    const __m512 factor = _mm512_set1_ps(scale), zero = _mm512_setzero_ps();
    for (int64_t m = 0; m < M; ++m) {
        const __m512 entries = _mm512_min_ps(_mm512_loadu_ps(tables + 16 * m), _mm512_set1_ps(kInfinity));
        const __m512 above[4] = {_mm512_sub_ps(entries, _mm512_set1_ps(least[m])), zero, zero, zero};
        _mm_storeu_si128(reinterpret_cast<__m128i*>(bytes + 16 * m),
                         _mm512_castsi512_si128(down_to_bytes(above, factor)));
    }
    if (M % 2) std::memset(bytes + 16 * M, 0, 16);
}

}  // namespace
}  // namespace pqstore
