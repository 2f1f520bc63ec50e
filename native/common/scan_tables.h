// The distance tables of a search, over codewords that were put in order for it beforehand.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "common/top_k.h"
#include "contract.h"

namespace pqstore {
namespace {

// The order of operations is that of `dtables`: dimension after dimension, product rounded, then added.
template <bool kDot>
bool fill_scan_tables(const float* queries, int64_t n, const CodewordColumns& columns, float* tables) {
    constexpr int64_t kStep = CodewordColumns::kStep;  // entries that are summed together in registers
    bool finite = true;
    for (int64_t q = 0; q < n; ++q) {
        for (int64_t m = 0; m < columns.M; ++m) {
            const float* query = queries + (q * columns.M + m) * columns.Ds;
            float* table = tables + (q * columns.M + m) * columns.table_size;
            for (int64_t first = 0; first < columns.stride; first += kStep) {
                float sums[kStep] = {};
                const float* column = columns.values + m * columns.Ds * columns.stride + first;
                for (int64_t d = 0; d < columns.Ds; ++d, column += columns.stride) {
                    const float x = query[d];
                    for (int64_t k = 0; k < kStep; ++k) {
                        const float difference = x - column[k];
                        sums[k] += kDot ? x * column[k] : difference * difference;
                    }
                }
                for (int64_t k = 0; k < kStep; ++k) {
                    finite &= std::fabs(sums[k]) < kInfinity;
                    if (kDot) sums[k] = -sums[k];
                }
                std::copy(sums, sums + std::min(kStep, columns.table_size - first), table + first);
            }
        }
    }
    return finite;
}

inline bool scan_tables(const float* queries, int64_t n, const CodewordColumns& columns, bool dot, float* tables) {
    return dot ? fill_scan_tables<true>(queries, n, columns, tables)
               : fill_scan_tables<false>(queries, n, columns, tables);
}

}  // namespace
}  // namespace pqstore
