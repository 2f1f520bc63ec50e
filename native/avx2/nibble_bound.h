// The bound of 4-bit codes: a byte shuffle looks up the entries of 16 rows in two sub-spaces.
#pragma once

#include <immintrin.h>

#include "avx2/bytes.h"
#include "common/bound_scale.h"
#include "common/top_k.h"

namespace pqstore {
namespace {

// Writes the 16 entries above the least of them, adds all to `total`, and returns the least.
inline float above_least(const float* table, float* entries, double* total) {
    const __m256 low = _mm256_loadu_ps(table), high = _mm256_loadu_ps(table + 8);
    // A NaN among the entries must not hide the others: it is the operand that _mm256_min_ps gives up.
    const __m256 most = _mm256_set1_ps(kInfinity);
    const float least = least_of(_mm256_min_ps(_mm256_min_ps(low, most), _mm256_min_ps(high, most)));
    _mm256_store_ps(entries, _mm256_sub_ps(low, _mm256_set1_ps(least)));
    _mm256_store_ps(entries + 8, _mm256_sub_ps(high, _mm256_set1_ps(least)));
    *total += sum_of(_mm256_add_ps(low, high));
    return least;
}

// For each of kQueries queries, the bounds of a block: even vectors and odd ones. `tables` holds pairs * 32 bytes a
// query.
template <int kQueries>
[[gnu::always_inline]] inline void sum_nibble_block(const uint8_t* block, const uint8_t* tables, int64_t pairs,
                                                    const Sections& sections, __m256i even[kQueries],
                                                    __m256i odd[kQueries]) {
    // High nibbles come down by a multiplication, for a shift would take a port that the shuffles need.
    const __m256i low_nibbles = _mm256_set1_epi8(15), sixteenth = _mm256_set1_epi16(1 << 12);
    for (int q = 0; q < kQueries; ++q) even[q] = odd[q] = _mm256_setzero_si256();
    WideSums of_one;  // more than one query would take too many registers
    int64_t pair = 0;
    for (int64_t s = 0; s < sections.count; ++s) {
        __m256i first_half[kQueries], second_half[kQueries];
        for (int q = 0; q < kQueries; ++q) first_half[q] = second_half[q] = _mm256_setzero_si256();
        const auto add = [&](int64_t at) __attribute__((always_inline)) {
            const __m256i codes = load_unaligned(block + 32 * at);
            const __m256i first_codes = _mm256_and_si256(codes, low_nibbles);
            const __m256i second_codes = _mm256_and_si256(_mm256_mulhi_epu16(codes, sixteenth), low_nibbles);
            for (int q = 0; q < kQueries; ++q) {
                const __m256i table = load(tables + 32 * (q * pairs + at));
                first_half[q] = _mm256_adds_epu8(first_half[q], _mm256_shuffle_epi8(table, first_codes));
                second_half[q] = _mm256_adds_epu8(second_half[q], _mm256_shuffle_epi8(table, second_codes));
            }
        };
        const int64_t end = sections.ends[s];
        for (; pair + 4 <= end; pair += 4)
            for (int i = 0; i < 4; ++i) add(pair + i);
        for (; pair < end; ++pair) add(pair);
        if constexpr (kQueries == 1) {
            of_one.add(first_half[0], second_half[0]);
        } else {
            for (int q = 0; q < kQueries; ++q) widen_add(first_half[q], second_half[q], even[q], odd[q]);
        }
    }
    if constexpr (kQueries == 1) {
        even[0] = of_one.even();
        odd[0] = of_one.odd();
    }
}

// The bounds of a block for one query.
[[gnu::always_inline]] inline void nibble_sums(const uint8_t* block, const uint8_t* tables, int64_t pairs,
                                               const Sections& sections, uint16_t* sums) {
    __m256i even[1], odd[1];
    sum_nibble_block<1>(block, tables, pairs, sections, even, odd);
    store_sums(sums, even[0], odd[0]);
}

// For each query, the lanes of a block whose bound is not above the limit. False: none for any.
template <int kQueries>
[[gnu::always_inline]] inline bool bound_nibbles(const uint8_t* block, const uint8_t* tables, int64_t pairs,
                                                 const Sections& sections, int limit, uint32_t within[kQueries]) {
    __m256i even[kQueries], odd[kQueries];
    sum_nibble_block<kQueries>(block, tables, pairs, sections, even, odd);
    uint32_t any = 0;
    for (int q = 0; q < kQueries; ++q) any |= within[q] = lanes_within(even[q], odd[q], limit);
    return any != 0;
}

}  // namespace
}  // namespace pqstore
