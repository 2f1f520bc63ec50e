// Renaming of one-byte codes: a table look-up a code.
#pragma once

#include <cstdint>

namespace pqstore {
namespace {

// renamed[i][m] = labels[m][codes[i][m]], labels (M, 256).
inline void relabel_rows(const uint8_t* labels, const uint8_t* codes, int64_t n, int64_t M, uint8_t* renamed) {
    for (int64_t i = 0; i < n; ++i, codes += M, renamed += M)
        for (int64_t m = 0; m < M; ++m) renamed[m] = labels[256 * m + codes[m]];
}

}  // namespace
}  // namespace pqstore
