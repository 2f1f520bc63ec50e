// Distance tables in NEON registers: four codewords are transposed on the way, so that a lane holds a codeword.
#pragma once

#include <arm_neon.h>

#include <cstdint>

#include "../contract.h"

namespace pqstore {
namespace {

// Rows to columns: afterwards columns[d] holds component d of the four rows.
inline void transpose_4x4(const float32x4_t rows[4], float32x4_t columns[4]) {
    float64x2_t pairs[4];
    for (int i = 0; i < 4; i += 2) {
        pairs[i] = vreinterpretq_f64_f32(vtrn1q_f32(rows[i], rows[i + 1]));
        pairs[i + 1] = vreinterpretq_f64_f32(vtrn2q_f32(rows[i], rows[i + 1]));
    }
    for (int i = 0; i < 2; ++i) {
        columns[i] = vreinterpretq_f32_f64(vtrn1q_f64(pairs[i], pairs[i + 2]));
        columns[i + 2] = vreinterpretq_f32_f64(vtrn2q_f64(pairs[i], pairs[i + 2]));
    }
}

// Tables of kQueries queries. Products are rounded before they are added: no fused operations here.
template <int kQueries, bool kDot>
void fill_tables(const float* queries, const Codewords& codewords, float* tables) {
    const int64_t M = codewords.M, Ks = codewords.Ks, Ds = codewords.Ds;
    for (int64_t m = 0; m < M; ++m) {
        for (int64_t k = 0; k < Ks; k += 4) {
            // Beyond the last codeword, its row again: what comes of it is not stored.
            const float* rows[4];
            for (int64_t i = 0; i < 4; ++i) rows[i] = codewords.values + (m * Ks + k + (k + i < Ks ? i : 0)) * Ds;
            float32x4_t sums[kQueries] = {};
            const auto add = [&](float32x4_t column, int64_t d) {
                for (int q = 0; q < kQueries; ++q) {
                    const float x = queries[(q * M + m) * Ds + d];
                    if constexpr (kDot) {
                        sums[q] = vaddq_f32(sums[q], vmulq_n_f32(column, x));
                    } else {
                        const float32x4_t difference = vsubq_f32(vdupq_n_f32(x), column);
                        sums[q] = vaddq_f32(sums[q], vmulq_f32(difference, difference));
                    }
                }
            };
            int64_t d = 0;
            for (; d + 4 <= Ds; d += 4) {
                float32x4_t values[4], columns[4];
                for (int i = 0; i < 4; ++i) values[i] = vld1q_f32(rows[i] + d);
                transpose_4x4(values, columns);
                for (int j = 0; j < 4; ++j) add(columns[j], d + j);
            }
            for (; d < Ds; ++d) {
                const float column[4] = {rows[0][d], rows[1][d], rows[2][d], rows[3][d]};
                add(vld1q_f32(column), d);
            }
            for (int q = 0; q < kQueries; ++q) {
                float* table = tables + (q * M + m) * Ks + k;
                if (k + 4 <= Ks) {
                    vst1q_f32(table, sums[q]);
                } else {
                    float last[4];
                    vst1q_f32(last, sums[q]);
                    for (int64_t i = 0; i < Ks - k; ++i) table[i] = last[i];
                }
            }
        }
    }
}

template <bool kDot>
void fill_all_tables(const float* queries, int64_t n, const Codewords& codewords, float* tables) {
    const int64_t D = codewords.M * codewords.Ds, size = codewords.M * codewords.Ks;
    int64_t q = 0;
    for (; q + 4 <= n; q += 4) fill_tables<4, kDot>(queries + q * D, codewords, tables + q * size);
    for (; q < n; ++q) fill_tables<1, kDot>(queries + q * D, codewords, tables + q * size);
}

inline void dtables_neon(const float* queries, int64_t n, const Codewords& codewords, bool dot, float* tables) {
    if (dot) return fill_all_tables<true>(queries, n, codewords, tables);
    fill_all_tables<false>(queries, n, codewords, tables);
}

}  // namespace
}  // namespace pqstore
