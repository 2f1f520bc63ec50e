// The bound of 4-bit codes: a table look-up finds the entries of 16 rows in one sub-space.
#pragma once

#include <arm_neon.h>

#include "common/bound_scale.h"
#include "common/top_k.h"
#include "neon/bytes.h"

namespace pqstore {
namespace {

// Writes the 16 entries above the least of them, adds all to `total`, and returns the least.
inline float above_least(const float* table, float* entries, double* total) {
    // Of a number and a NaN, vminnm takes the number.
    float32x4_t lowest = vdupq_n_f32(kInfinity), sum = vdupq_n_f32(0);
    for (int i = 0; i < 16; i += 4) {
        lowest = vminnmq_f32(lowest, vld1q_f32(table + i));
        sum = vaddq_f32(sum, vld1q_f32(table + i));
    }
    const float least = vminnmvq_f32(lowest);
    for (int i = 0; i < 16; i += 4) vst1q_f32(entries + i, vsubq_f32(vld1q_f32(table + i), vdupq_n_f32(least)));
    *total += static_cast<double>(vaddvq_f32(sum));
    return least;
}

// For each of kQueries queries, the bounds of a block. `tables` holds pairs * 32 bytes a query.
template <int kQueries>
inline void sum_nibble_block(const uint8_t* block, const uint8_t* tables, int64_t pairs, const Sections& sections,
                             uint16x8_t totals[kQueries][kSumVectors]) {
    for (int q = 0; q < kQueries; ++q)
        for (int i = 0; i < kSumVectors; ++i) totals[q][i] = vdupq_n_u16(0);
    int64_t pair = 0;
    for (int64_t s = 0; s < sections.count; ++s) {
        // Of the first and the second sub-space of each pair, for rows 0..15 and rows 16..31.
        uint8x16_t low[kQueries][2] = {}, high[kQueries][2] = {};
        for (const int64_t end = sections.ends[s]; pair < end; ++pair) {
            for (int m = 0; m < 2; ++m) {
                const uint8x16_t codes = vld1q_u8(block + 32 * pair + 16 * m);
                const uint8x16_t low_codes = vandq_u8(codes, vdupq_n_u8(15)), high_codes = vshrq_n_u8(codes, 4);
                for (int q = 0; q < kQueries; ++q) {
                    const uint8x16_t table = vld1q_u8(tables + 32 * (q * pairs + pair) + 16 * m);
                    low[q][m] = vqaddq_u8(low[q][m], vqtbl1q_u8(table, low_codes));
                    high[q][m] = vqaddq_u8(high[q][m], vqtbl1q_u8(table, high_codes));
                }
            }
        }
        for (int q = 0; q < kQueries; ++q)
            for (int m = 0; m < 2; ++m) {
                widen_add(low[q][m], totals[q]);
                widen_add(high[q][m], totals[q] + 2);
            }
    }
}

// The bounds of a block for one query.
inline void nibble_sums(const uint8_t* block, const uint8_t* tables, int64_t pairs, const Sections& sections,
                        uint16_t* sums) {
    uint16x8_t totals[1][kSumVectors];
    sum_nibble_block<1>(block, tables, pairs, sections, totals);
    store_sums(sums, totals[0]);
}

// For each query, the lanes of a block whose bound is not above the limit. False: none for any.
template <int kQueries>
inline bool bound_nibbles(const uint8_t* block, const uint8_t* tables, int64_t pairs, const Sections& sections,
                          int limit, uint32_t within[kQueries]) {
    uint16x8_t totals[kQueries][kSumVectors];
    sum_nibble_block<kQueries>(block, tables, pairs, sections, totals);
    uint32_t any = 0;
    for (int q = 0; q < kQueries; ++q) any |= within[q] = lanes_within(totals[q], limit);
    return any != 0;
}

}  // namespace
}  // namespace pqstore
