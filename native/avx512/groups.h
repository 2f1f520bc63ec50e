// Groups of 64 rows, which registers hold side by side: two blocks of a chunk, or the last one of a piece by itself.
#pragma once

#include <cstdint>

#include "common/scan_driver.h"

namespace pqstore {
namespace {

struct Group {
    const Chunk* chunk;
    int64_t block;
    bool both;

    // The codes of the first block, and of the second: of the first once more if there is none.
    const uint8_t* first(int64_t block_bytes) const { return chunk->packed + block * block_bytes; }
    const uint8_t* second(int64_t block_bytes) const { return first(block_bytes) + (both ? block_bytes : 0); }

    // The rows that are there, as bits.
    uint64_t live() const {
        return live_lanes(*chunk, block) | (both ? static_cast<uint64_t>(live_lanes(*chunk, block + 1)) << 32 : 0);
    }

    int64_t first_row() const { return chunk->first_row + block * kBlockRows; }
};

// Calls visit(group) for the groups of a piece.
template <typename Visit>
[[gnu::always_inline]] inline void visit_groups(const Piece& piece, const Visit& visit) {
    for (int64_t block = piece.first_block; block < piece.end_block; block += 2)
        visit(Group{piece.chunk, block, block + 1 < piece.end_block});
}

}  // namespace
}  // namespace pqstore
