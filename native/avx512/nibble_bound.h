// The bound of 4-bit codes: one byte shuffle looks up the entries of 16 rows in four sub-spaces.
#pragma once

#include <immintrin.h>

#include "avx512/bytes.h"
#include "common/bound_scale.h"
#include "common/top_k.h"

namespace pqstore {
namespace {

// Writes the 16 entries above the least of them, adds all to `total`, and returns the least.
inline float above_least(const float* table, float* entries, double* total) {
    const __m512 row = _mm512_loadu_ps(table);
    // A NaN among the entries must not hide the others: it is the operand that the minimum gives up.
    const float least = _mm512_reduce_min_ps(_mm512_min_ps(row, _mm512_set1_ps(kInfinity)));
    _mm512_storeu_ps(entries, _mm512_sub_ps(row, _mm512_set1_ps(least)));
    *total += static_cast<double>(_mm512_reduce_add_ps(row));
    return least;
}

inline __m512i low_nibbles(__m512i codes) { return _mm512_and_si512(codes, _mm512_set1_epi8(15)); }

// A matrix of bits takes one instruction, a shift of bytes two.
inline __m512i high_nibbles(__m512i codes) {
    return _mm512_gf2p8affine_epi64_epi8(codes, _mm512_set1_epi64(0x1020408000000000ll), 0);
}

// The bounds of a block for one query, at the positions of `sum_position`. Sums of more sections than any real code has
// wrap around: they are less then, and stay bounds.
[[gnu::always_inline]] inline __m512i nibble_block(const uint8_t* block, const uint8_t* tables, int64_t pairs,
                                                   const Sections& sections) {
    WideSums upper, lower;  // rows 0..15 and 16..31: of every fourth sub-space in each of four lanes
    int64_t pair = 0;
    for (int64_t s = 0; s < sections.count; ++s) {
        __m512i upper_sum = _mm512_setzero_si512(), lower_sum = upper_sum;
        const auto add = [&](__m512i codes, __m512i table) __attribute__((always_inline)) {
            upper_sum = _mm512_adds_epu8(upper_sum, _mm512_shuffle_epi8(table, low_nibbles(codes)));
            lower_sum = _mm512_adds_epu8(lower_sum, _mm512_shuffle_epi8(table, high_nibbles(codes)));
        };
        const bool last = s + 1 == sections.count;
        const int64_t end = last ? pairs : sections.ends[s] / 2 * 2;  // two pairs at a time
        for (; pair + 2 <= end; pair += 2) add(load64(block + 32 * pair), load64(tables + 32 * pair));
        if (pair < end) {
            const auto half = [](const uint8_t* from) {
                return _mm512_zextsi256_si512(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
            };
            add(half(block + 32 * pair), half(tables + 32 * pair));
            ++pair;
        }
        upper.add(upper_sum);
        lower.add(lower_sum);
    }
    const auto join = [](__m512i a, __m512i b) {
        return _mm512_add_epi16(_mm512_shuffle_i64x2(a, b, 0x88), _mm512_shuffle_i64x2(a, b, 0xdd));
    };
    return join(join(upper.even(), lower.even()), join(upper.odd(), lower.odd()));
}

[[gnu::always_inline]] inline void nibble_sums(const uint8_t* block, const uint8_t* tables, int64_t pairs,
                                               const Sections& sections, uint16_t* sums) {
    store64(sums, nibble_block(block, tables, pairs, sections));
}

// For each query, the lanes of a block whose bound is not above the limit. False: none for any.
template <int kQueries>
[[gnu::always_inline]] inline bool bound_nibbles(const uint8_t* block, const uint8_t* tables, int64_t pairs,
                                                 const Sections& sections, int limit, uint32_t within[kQueries]) {
    uint32_t any = 0;
    for (int q = 0; q < kQueries; ++q)
        any |= within[q] = lanes_within(nibble_block(block, tables + 32 * pairs * q, pairs, sections), limit);
    return any != 0;
}

}  // namespace
}  // namespace pqstore
