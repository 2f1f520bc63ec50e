// The terms of a distance: table entries that the codes of one row name, for each way codes lie in memory.
#pragma once

#include <cstdint>
#include <cstring>

#include "common/ordered_sum.h"
#include "common/top_k.h"
#include "contract.h"

namespace pqstore {
namespace {

// The distance of row `lane` of a block of 32, for each layout. `block` points at the first byte of the block.
struct Block8Terms {
    static constexpr int64_t kTableSize = 256;
    const float* table;
    int64_t M;
    int64_t block_bytes;

    Block8Terms(const Layout& layout, const float* entries)
        : table(entries), M(layout.M), block_bytes(layout.block_bytes()) {}

    float distance(const uint8_t* block, int lane) const {
        const uint8_t* codes = block + (lane >> 4) * 32 + (lane & 15);
        return as_distance(ordered_sum(M, [&](int64_t base, int64_t i) {
            return table[(base + i) * 256 + codes[base * 32 + (i >> 1) * 64 + (i & 1) * 16]];
        }));
    }
};

struct Block4Terms {
    static constexpr int64_t kTableSize = 16;
    const float* table;
    int64_t M;
    int64_t block_bytes;

    Block4Terms(const Layout& layout, const float* entries)
        : table(entries), M(layout.M), block_bytes(layout.block_bytes()) {}

    float distance(const uint8_t* block, int lane) const {
        const uint8_t* codes = block + (lane & 15);
        const int shift = (lane >> 4) * 4;
        return as_distance(ordered_sum(M, [&](int64_t base, int64_t i) {
            return table[(base + i) * 16 + ((codes[base * 16 + i * 16] >> shift) & 15)];
        }));
    }
};

// Rows of wide codes. A code that no codeword has, which only a damaged file can hold, is infinitely far.
template <typename Code>
struct RowTerms {
    const float* table;
    int64_t M;
    int64_t table_size;
    int64_t block_bytes;

    RowTerms(const Layout& layout, const float* entries)
        : table(entries), M(layout.M), table_size(layout.table_size), block_bytes(layout.block_bytes()) {}

    float distance(const uint8_t* block, int lane) const {
        const uint8_t* row = block + lane * M * static_cast<int64_t>(sizeof(Code));
        return as_distance(ordered_sum(M, [&](int64_t base, int64_t i) {
            Code code;  // packed codes may lie at any address
            std::memcpy(&code, row + (base + i) * static_cast<int64_t>(sizeof(Code)), sizeof(Code));
            return code < table_size ? table[(base + i) * table_size + code] : kInfinity;
        }));
    }
};

}  // namespace
}  // namespace pqstore
