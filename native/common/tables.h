// Distance tables, and sums over them for rows of codes.
#pragma once

#include <algorithm>
#include <cstdint>

#include "common/buffer.h"
#include "common/ordered_sum.h"
#include "common/row_sum.h"
#include "common/top_k.h"
#include "contract.h"
#include "services/parallel.h"

namespace pqstore {
namespace {

// The codewords of sub-space m as (Ds, stride): one dimension of all of them lies together. Entries Ks .. stride - 1 of
// each row are zero.
inline void transpose_codewords(const Codewords& codewords, int64_t m, int64_t stride, float* transposed) {
    const float* from = codewords.values + m * codewords.Ks * codewords.Ds;
    for (int64_t d = 0; d < codewords.Ds; ++d)
        std::fill(transposed + d * stride + codewords.Ks, transposed + (d + 1) * stride, 0.0f);
    // In squares: each cache line is read and written while it is near.
    constexpr int64_t kTile = 16;
    for (int64_t tile = 0; tile < codewords.Ks; tile += kTile) {
        const int64_t end = std::min(tile + kTile, codewords.Ks);
        for (int64_t d = 0; d < codewords.Ds; ++d)
            for (int64_t k = tile; k < end; ++k) transposed[d * stride + k] = from[k * codewords.Ds + d];
    }
}

// The order of operations is part of the definition: dimension after dimension, product rounded, then added.
inline void dtables(const float* queries, int64_t n, const Codewords& codewords, bool dot, float* tables) {
    const int64_t M = codewords.M, Ks = codewords.Ks, Ds = codewords.Ds;
    constexpr int64_t kStep = 32;  // entries that are summed together in registers
    const int64_t stride = (Ks + kStep - 1) / kStep * kStep;
    Buffer<float> transposed(static_cast<size_t>(Ds * stride));
    for (int64_t m = 0; m < M; ++m) {
        transpose_codewords(codewords, m, stride, transposed.data());
        for (int64_t q = 0; q < n; ++q) {
            const float* query = queries + (q * M + m) * Ds;
            float* table = tables + (q * M + m) * Ks;
            for (int64_t first = 0; first < Ks; first += kStep) {
                float sums[kStep] = {};
                const float* columns = transposed.data() + first;
                for (int64_t d = 0; d < Ds; ++d, columns += stride) {
                    const float x = query[d];
                    if (dot) {
                        for (int64_t k = 0; k < kStep; ++k) sums[k] += x * columns[k];
                    } else {
                        for (int64_t k = 0; k < kStep; ++k) {
                            const float difference = x - columns[k];
                            sums[k] += difference * difference;
                        }
                    }
                }
                std::copy(sums, sums + std::min(kStep, Ks - first), table + first);
            }
        }
    }
}

// kM is M, so that the sum unrolls, or 0 for any M.
template <int64_t kM>
void adist_bytes(const float* table, const uint8_t* codes, int64_t n, int64_t any_M, float* distances) {
    const int64_t M = kM ? kM : any_M;
    for (int64_t i = 0; i < n; ++i) distances[i] = row_sum<256>(table, codes + i * M, M);
}

template <typename Code>
void adist_rows(const float* table, int64_t Ks, const Code* codes, int64_t n, int64_t M, float* distances) {
    if constexpr (sizeof(Code) == 1) {
        // A code of one byte cannot exceed a table of 256: nothing to check.
        if (Ks == 256) {
            switch (M) {
                case 8: return adist_bytes<8>(table, codes, n, M, distances);
                case 16: return adist_bytes<16>(table, codes, n, M, distances);
                case 32: return adist_bytes<32>(table, codes, n, M, distances);
                default: return adist_bytes<0>(table, codes, n, M, distances);
            }
        }
    }
    for (int64_t i = 0; i < n; ++i, codes += M)
        distances[i] = ordered_sum(M, [&](int64_t base, int64_t j) {
            const int64_t code = codes[base + j];
            return code < Ks ? table[(base + j) * Ks + code] : kInfinity;
        });
}

inline void adist(const float* table, int64_t Ks, const CodeRows& rows, int threads, float* distances) {
    constexpr int64_t kTaskRows = 1 << 14;
    parallel_for(threads, (rows.n + kTaskRows - 1) / kTaskRows, [&](int, int64_t task) {
        const int64_t first = task * kTaskRows, n = std::min(kTaskRows, rows.n - first);
        switch (rows.width) {
            case 1:
                return adist_rows(table, Ks, static_cast<const uint8_t*>(rows.codes) + first * rows.M, n, rows.M,
                                  distances + first);
            case 2:
                return adist_rows(table, Ks, static_cast<const uint16_t*>(rows.codes) + first * rows.M, n, rows.M,
                                  distances + first);
            default:
                return adist_rows(table, Ks, static_cast<const uint32_t*>(rows.codes) + first * rows.M, n, rows.M,
                                  distances + first);
        }
    });
}

}  // namespace
}  // namespace pqstore
