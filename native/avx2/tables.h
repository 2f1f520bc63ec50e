// Distance tables in AVX2 registers: eight codewords are transposed on the way, so that a lane holds a codeword.
#pragma once

#include <immintrin.h>

#include <algorithm>
#include <cstdint>

#include "avx2/prefetch.h"
#include "common/top_k.h"
#include "contract.h"

namespace pqstore {
namespace {

// Rows to columns: afterwards columns[d] holds component d of the eight rows.
inline void transpose_8x8(const __m256 rows[8], __m256 columns[8]) {
    __m256 pairs[8], quads[8];
    for (int i = 0; i < 8; i += 2) {
        pairs[i] = _mm256_unpacklo_ps(rows[i], rows[i + 1]);
        pairs[i + 1] = _mm256_unpackhi_ps(rows[i], rows[i + 1]);
    }
    for (int i = 0; i < 8; i += 4) {
        quads[i] = _mm256_shuffle_ps(pairs[i], pairs[i + 2], 0x44);
        quads[i + 1] = _mm256_shuffle_ps(pairs[i], pairs[i + 2], 0xee);
        quads[i + 2] = _mm256_shuffle_ps(pairs[i + 1], pairs[i + 3], 0x44);
        quads[i + 3] = _mm256_shuffle_ps(pairs[i + 1], pairs[i + 3], 0xee);
    }
    for (int i = 0; i < 4; ++i) {
        columns[i] = _mm256_permute2f128_ps(quads[i], quads[i + 4], 0x20);
        columns[i + 4] = _mm256_permute2f128_ps(quads[i], quads[i + 4], 0x31);
    }
}

// A mask for the first `count` of eight lanes.
inline __m256i first_lanes(int64_t count) {
    const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count)), lanes);
}

// Tables of kQueries queries. Products are rounded before they are added: no fused operations here.
template <int kQueries, bool kDot>
void fill_tables(const float* queries, const Codewords& codewords, float* tables) {
    const int64_t M = codewords.M, Ks = codewords.Ks, Ds = codewords.Ds;
    for (int64_t m = 0; m < M; ++m) {
        for (int64_t k = 0; k < Ks; k += 8) {
            // Beyond the last codeword, its row again: what comes of it is not stored.
            const float* rows[8];
            for (int64_t i = 0; i < 8; ++i) rows[i] = codewords.values + (m * Ks + k + (k + i < Ks ? i : 0)) * Ds;
            prefetch(reinterpret_cast<const uint8_t*>(rows[0]), kPrefetchBytes, 32 * Ds);
            __m256 sums[kQueries];
            for (__m256& sum : sums) sum = _mm256_setzero_ps();
            for (int64_t d = 0; d < Ds; d += 8) {
                const auto add = [&](__m256 column, int64_t j) {
                    for (int q = 0; q < kQueries; ++q) {
                        const __m256 x = _mm256_broadcast_ss(queries + (q * M + m) * Ds + d + j);
                        if constexpr (kDot) {
                            sums[q] = _mm256_add_ps(sums[q], _mm256_mul_ps(x, column));
                        } else {
                            const __m256 difference = _mm256_sub_ps(x, column);
                            sums[q] = _mm256_add_ps(sums[q], _mm256_mul_ps(difference, difference));
                        }
                    }
                };
                const int64_t components = Ds - d;
                __m256 values[8], columns[8];
                if (components >= 8) {
                    for (int i = 0; i < 8; ++i) values[i] = _mm256_loadu_ps(rows[i] + d);
                    transpose_8x8(values, columns);
                    for (int j = 0; j < 8; ++j) add(columns[j], j);
                } else {
                    const __m256i mask = first_lanes(components);
                    for (int i = 0; i < 8; ++i) values[i] = _mm256_maskload_ps(rows[i] + d, mask);
                    transpose_8x8(values, columns);
                    for (int j = 0; j < 8; ++j)
                        if (j < components) add(columns[j], j);
                }
            }
            for (int q = 0; q < kQueries; ++q) {
                float* table = tables + (q * M + m) * Ks + k;
                if (k + 8 <= Ks) {
                    _mm256_storeu_ps(table, sums[q]);
                } else {
                    _mm256_maskstore_ps(table, first_lanes(Ks - k), sums[q]);
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

// As common/scan_tables.h; `finite` loses a lane for every entry that is not.
template <bool kDot, int kRegisters>
void fill_columns(const float* query, const float* column, int64_t Ds, int64_t stride, int64_t count, float* table,
                  __m256& finite) {
    const __m256 sign = _mm256_set1_ps(-0.0f), infinity = _mm256_set1_ps(kInfinity);
    __m256 sums[kRegisters];
    for (__m256& sum : sums) sum = _mm256_setzero_ps();
    for (int64_t d = 0; d < Ds; ++d, column += stride) {
        const __m256 x = _mm256_broadcast_ss(query + d);
        for (int i = 0; i < kRegisters; ++i) {
            const __m256 entry = _mm256_load_ps(column + 8 * i);
            if constexpr (kDot) {
                sums[i] = _mm256_add_ps(sums[i], _mm256_mul_ps(x, entry));
            } else {
                const __m256 difference = _mm256_sub_ps(x, entry);
                sums[i] = _mm256_add_ps(sums[i], _mm256_mul_ps(difference, difference));
            }
        }
    }
    for (int i = 0; i < kRegisters; ++i) {
        finite = _mm256_and_ps(finite, _mm256_cmp_ps(_mm256_andnot_ps(sign, sums[i]), infinity, _CMP_LT_OQ));
        const __m256 entries = kDot ? _mm256_xor_ps(sums[i], sign) : sums[i];
        if (count >= 8 * (i + 1)) {
            _mm256_storeu_ps(table + 8 * i, entries);
        } else {
            _mm256_maskstore_ps(table + 8 * i, first_lanes(count - 8 * i), entries);
        }
    }
}

template <bool kDot>
bool fill_all_columns(const float* queries, int64_t n, const CodewordColumns& columns, float* tables) {
    __m256 finite = _mm256_castsi256_ps(_mm256_set1_epi32(-1));
    for (int64_t q = 0; q < n; ++q) {
        for (int64_t m = 0; m < columns.M; ++m) {
            const float* query = queries + (q * columns.M + m) * columns.Ds;
            const float* column = columns.values + m * columns.Ds * columns.stride;
            float* table = tables + (q * columns.M + m) * columns.table_size;
            int64_t k = 0;
            for (; k + 64 <= columns.stride; k += 64)
                fill_columns<kDot, 8>(query, column + k, columns.Ds, columns.stride, columns.table_size - k, table + k,
                                      finite);
            for (; k < columns.stride; k += 16)
                fill_columns<kDot, 2>(query, column + k, columns.Ds, columns.stride, columns.table_size - k, table + k,
                                      finite);
        }
    }
    return _mm256_movemask_ps(finite) == 255;
}

inline bool scan_tables_avx2(const float* queries, int64_t n, const CodewordColumns& columns, bool dot, float* tables) {
    return dot ? fill_all_columns<true>(queries, n, columns, tables)
               : fill_all_columns<false>(queries, n, columns, tables);
}

inline void dtables_avx2(const float* queries, int64_t n, const Codewords& codewords, bool dot, float* tables) {
    if (dot) return fill_all_tables<true>(queries, n, codewords, tables);
    fill_all_tables<false>(queries, n, codewords, tables);
}

}  // namespace
}  // namespace pqstore
