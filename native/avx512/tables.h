// The distance tables of a search in AVX-512 registers; four queries share each load of codewords.
#pragma once

#include <immintrin.h>

#include <algorithm>
#include <cstdint>

#include "common/top_k.h"
#include "contract.h"

namespace pqstore {
namespace {

// As common/scan_tables.h, for kQueries queries and 16 kRegisters entries of one sub-space. `step`: floats from one
// query's sub-vector to the next one's; `count`: entries that the tables have room for; `finite` loses a lane for every
// entry that is not.
template <bool kDot, int kQueries, int kRegisters>
void fill_columns(const float* queries, int64_t step, const float* column, int64_t Ds, int64_t stride, int64_t count,
                  float* tables, int64_t table_step, __mmask16& finite) {
    __m512 sums[kQueries][kRegisters];
    for (auto& row : sums)
        for (__m512& sum : row) sum = _mm512_setzero_ps();
    for (int64_t d = 0; d < Ds; ++d, column += stride) {
        __m512 entries[kRegisters];
        for (int i = 0; i < kRegisters; ++i) entries[i] = _mm512_loadu_ps(column + 16 * i);
        for (int q = 0; q < kQueries; ++q) {
            const __m512 x = _mm512_set1_ps(queries[q * step + d]);
            for (int i = 0; i < kRegisters; ++i) {
                if constexpr (kDot) {
                    sums[q][i] = _mm512_add_ps(sums[q][i], _mm512_mul_ps(x, entries[i]));
                } else {
                    const __m512 difference = _mm512_sub_ps(x, entries[i]);
                    sums[q][i] = _mm512_add_ps(sums[q][i], _mm512_mul_ps(difference, difference));
                }
            }
        }
    }
    for (int q = 0; q < kQueries; ++q)
        for (int i = 0; i < kRegisters; ++i) {
            const __m512 sum = sums[q][i];
            finite &= _mm512_cmp_ps_mask(_mm512_abs_ps(sum), _mm512_set1_ps(kInfinity), _CMP_LT_OQ);
            const __m512 entries = kDot ? _mm512_xor_ps(sum, _mm512_set1_ps(-0.0f)) : sum;
            const int64_t room = std::clamp<int64_t>(count - 16 * i, 0, 16);
            _mm512_mask_storeu_ps(tables + q * table_step + 16 * i, static_cast<__mmask16>((1u << room) - 1), entries);
        }
}

template <bool kDot, int kQueries>
void fill_tables_of(const float* queries, const CodewordColumns& columns, float* tables, __mmask16& finite) {
    constexpr int64_t kTogether = kQueries == 1 ? 8 : 4;  // registers of a query
    const int64_t M = columns.M, Ds = columns.Ds, stride = columns.stride, size = columns.table_size;
    for (int64_t m = 0; m < M; ++m) {
        const float* column = columns.values + m * Ds * stride;
        float* table = tables + m * size;
        int64_t k = 0;
        for (; k + 16 * kTogether <= stride; k += 16 * kTogether)
            fill_columns<kDot, kQueries, kTogether>(queries + m * Ds, M * Ds, column + k, Ds, stride, size - k,
                                                    table + k, M * size, finite);
        for (; k < stride; k += 16)
            fill_columns<kDot, kQueries, 1>(queries + m * Ds, M * Ds, column + k, Ds, stride, size - k, table + k,
                                            M * size, finite);
    }
}

template <bool kDot>
bool fill_columns_of_all(const float* queries, int64_t n, const CodewordColumns& columns, float* tables) {
    const int64_t D = columns.M * columns.Ds, size = columns.M * columns.table_size;
    __mmask16 finite = 0xffff;
    int64_t q = 0;
    for (; q + 4 <= n; q += 4) fill_tables_of<kDot, 4>(queries + q * D, columns, tables + q * size, finite);
    for (; q < n; ++q) fill_tables_of<kDot, 1>(queries + q * D, columns, tables + q * size, finite);
    return finite == 0xffff;
}

inline bool scan_tables_avx512(const float* queries, int64_t n, const CodewordColumns& columns, bool dot,
                               float* tables) {
    return dot ? fill_columns_of_all<true>(queries, n, columns, tables)
               : fill_columns_of_all<false>(queries, n, columns, tables);
}

}  // namespace
}  // namespace pqstore
