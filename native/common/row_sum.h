// The distance of a row whose codes of one byte lie side by side.
#pragma once

#include <cstdint>

#include "common/ordered_sum.h"

namespace pqstore {
namespace {

// The first code in the lowest byte, whatever the byte order of the machine.
inline uint64_t eight_codes(const uint8_t* codes) {
    uint64_t word = 0;
    for (int i = 0; i < 8; ++i) word |= static_cast<uint64_t>(codes[i]) << (8 * i);
    return word;
}

// The sum of table[kSize * m + codes[m]] in the frozen order. Eight codes a load, because loads are what this has most
// of.
template <int64_t kSize>
inline float row_sum(const float* table, const uint8_t* codes, int64_t M) {
    if (M < 8 || M > 128)
        return ordered_sum(M, [&](int64_t base, int64_t i) { return table[kSize * (base + i) + codes[base + i]]; });
    float sums[8] = {};
    const int64_t whole = M / 8 * 8;
    const float* entries = table;
    for (int64_t base = 0; base < whole; base += 8, entries += 8 * kSize) {
        const uint64_t word = eight_codes(codes + base);
        for (int64_t i = 0; i < 8; ++i) {
            const float entry = entries[kSize * i + static_cast<int64_t>(word >> (8 * i) & 255)];
            sums[i] = base == 0 ? entry : sums[i] + entry;
        }
    }
    float total = ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
    for (int64_t m = whole; m < M; ++m) total += table[kSize * m + codes[m]];
    return total;
}

}  // namespace
}  // namespace pqstore
