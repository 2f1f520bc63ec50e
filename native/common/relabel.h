// Renaming of one-byte codes: a table look-up a code.
#pragma once

#include <cstdint>

namespace pqstore {
namespace {

// renamed[i][m] = labels[m][codes[i][m]], labels (M, 256).
inline void relabel_rows(const uint8_t* labels, const uint8_t* codes, int64_t n, int64_t M, uint8_t* renamed) {
    constexpr int64_t kTogether = 8;  // a loop of known length, of which nothing but the look-ups is left
    for (int64_t i = 0; i < n; ++i, codes += M, renamed += M) {
        int64_t m = 0;
        for (; m + kTogether <= M; m += kTogether)
            for (int64_t next = m; next < m + kTogether; ++next) renamed[next] = labels[256 * next + codes[next]];
        for (; m < M; ++m) renamed[m] = labels[256 * m + codes[m]];
    }
}

}  // namespace
}  // namespace pqstore
