// Distance tables in NEON registers: codewords are transposed on the way, so that a lane holds a codeword.
#pragma once

#include <arm_neon.h>

#include <algorithm>
#include <cstdint>

#include "common/tables.h"
#include "contract.h"

namespace pqstore {
namespace {

// Rows, `step` floats apart, to columns: columns[j] holds component j of four rows.
inline void load_columns(const float* rows, int64_t step, float32x4_t columns[4]) {
    float64x2_t pairs[4];
    for (int i = 0; i < 4; i += 2) {
        const float32x4_t row = vld1q_f32(rows + i * step), next = vld1q_f32(rows + (i + 1) * step);
        pairs[i] = vreinterpretq_f64_f32(vtrn1q_f32(row, next));
        pairs[i + 1] = vreinterpretq_f64_f32(vtrn2q_f32(row, next));
    }
    for (int i = 0; i < 2; ++i) {
        columns[i] = vreinterpretq_f32_f64(vtrn1q_f64(pairs[i], pairs[i + 2]));
        columns[i + 2] = vreinterpretq_f32_f64(vtrn2q_f64(pairs[i], pairs[i + 2]));
    }
}

constexpr int64_t kGroupCodewords = 8;

// Tables of kQueries queries; Ks >= kGroupCodewords. Products are rounded before they are added: no fused operations
// here.
template <int kQueries, bool kDot>
void fill_tables(const float* queries, const Codewords& codewords, float* tables) {
    constexpr int kVectors = kGroupCodewords / 4;
    const int64_t M = codewords.M, Ks = codewords.Ks, Ds = codewords.Ds;
    for (int64_t m = 0; m < M; ++m) {
        for (int64_t group = 0; group < Ks; group += kGroupCodewords) {
            // The last group overlaps the one before where Ks is not a multiple.
            const int64_t first = std::min(group, Ks - kGroupCodewords);
            const float* rows = codewords.values + (m * Ks + first) * Ds;
            float32x4_t sums[kQueries][kVectors] = {};
            const auto add = [&](float32x4_t column, int v, int64_t d) {
                for (int q = 0; q < kQueries; ++q) {
                    const float32x4_t x = vdupq_n_f32(queries[(q * M + m) * Ds + d]);
                    if constexpr (kDot) {
                        sums[q][v] = vaddq_f32(sums[q][v], vmulq_f32(x, column));
                    } else {
                        const float32x4_t difference = vsubq_f32(x, column);
                        sums[q][v] = vaddq_f32(sums[q][v], vmulq_f32(difference, difference));
                    }
                }
            };
            int64_t d = 0;
            for (; d + 4 <= Ds; d += 4) {
                float32x4_t columns[kVectors][4];
                for (int v = 0; v < kVectors; ++v) load_columns(rows + 4 * v * Ds + d, Ds, columns[v]);
                for (int j = 0; j < 4; ++j)
                    for (int v = 0; v < kVectors; ++v) add(columns[v][j], v, d + j);
            }
            for (; d < Ds; ++d)
                for (int v = 0; v < kVectors; ++v) {
                    float column[4];
                    for (int i = 0; i < 4; ++i) column[i] = rows[(4 * v + i) * Ds + d];
                    add(vld1q_f32(column), v, d);
                }
            for (int q = 0; q < kQueries; ++q)
                for (int v = 0; v < kVectors; ++v) vst1q_f32(tables + (q * M + m) * Ks + first + 4 * v, sums[q][v]);
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
    if (codewords.Ks < kGroupCodewords) return dtables(queries, n, codewords, dot, tables);
    if (dot) return fill_all_tables<true>(queries, n, codewords, tables);
    fill_all_tables<false>(queries, n, codewords, tables);
}

}  // namespace
}  // namespace pqstore
