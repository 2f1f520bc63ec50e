// Rows of codes to blocks of 32 and back; see pqstore/kernels/code_layout.py for the two layouts.
#pragma once

#include <algorithm>
#include <cstring>

#include "contract.h"

namespace pqstore {
namespace {

// Where the byte of (lane, m) lies in a block of 32.
inline int64_t block8_offset(int64_t lane, int64_t m) {
    return (m >> 1) * 64 + (lane >> 4) * 32 + (m & 1) * 16 + (lane & 15);
}
inline int64_t block4_offset(int64_t lane, int64_t m) { return (m >> 1) * 32 + (m & 1) * 16 + (lane & 15); }

inline void pack_blocks(const Layout& layout, const uint8_t* codes, int64_t n, uint8_t* packed) {
    const int64_t block_bytes = layout.block_bytes();
    for (int64_t first = 0; first < n; first += kBlockRows, packed += block_bytes) {
        const int64_t lanes = std::min(kBlockRows, n - first);
        // Padding, of an odd M and of the last block, is zeros.
        std::memset(packed, 0, static_cast<size_t>(block_bytes));
        for (int64_t lane = 0; lane < lanes; ++lane) {
            const uint8_t* row = codes + (first + lane) * layout.M;
            if (layout.kind == LayoutKind::kBlock8) {
                for (int64_t m = 0; m < layout.M; ++m) packed[block8_offset(lane, m)] = row[m];
            } else {
                const int shift = lane < 16 ? 0 : 4;
                for (int64_t m = 0; m < layout.M; ++m)
                    packed[block4_offset(lane, m)] |= static_cast<uint8_t>(row[m] << shift);
            }
        }
    }
}

inline void unpack_blocks(const Layout& layout, const uint8_t* packed, int64_t n, uint8_t* codes) {
    for (int64_t first = 0; first < n; first += kBlockRows, packed += layout.block_bytes()) {
        const int64_t lanes = std::min(kBlockRows, n - first);
        for (int64_t lane = 0; lane < lanes; ++lane) {
            uint8_t* row = codes + (first + lane) * layout.M;
            if (layout.kind == LayoutKind::kBlock8) {
                for (int64_t m = 0; m < layout.M; ++m) row[m] = packed[block8_offset(lane, m)];
            } else {
                const int shift = lane < 16 ? 0 : 4;
                for (int64_t m = 0; m < layout.M; ++m) row[m] = (packed[block4_offset(lane, m)] >> shift) & 15;
            }
        }
    }
}

}  // namespace
}  // namespace pqstore
