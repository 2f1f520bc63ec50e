// Groups of 64 rows, which registers hold side by side: two blocks of a chunk.
//
// The two lie half a piece apart. Memory serves two long streams faster than one that jumps to and fro between
// neighbours.
#pragma once

#include <cstdint>

#include "common/scan_driver.h"

namespace pqstore {
namespace {

struct Group {
    const Chunk* chunk;
    int64_t blocks[2];
    bool both;  // without a second block, the first stands for it too, and only its own rows count

    const uint8_t* first(int64_t block_bytes) const { return chunk->packed + blocks[0] * block_bytes; }
    const uint8_t* second(int64_t block_bytes) const { return chunk->packed + blocks[1] * block_bytes; }

    // The rows that are there, as bits.
    uint64_t live() const {
        return live_lanes(*chunk, blocks[0]) | (both ? static_cast<uint64_t>(live_lanes(*chunk, blocks[1])) << 32 : 0);
    }

    // Of one of the 64 rows: the codes of its block, and its number.
    const uint8_t* codes_of(int row, int64_t block_bytes) const {
        return chunk->packed + blocks[row >> 5] * block_bytes;
    }
    int64_t number_of(int row) const { return chunk->first_row + place_of(row); }
    int64_t place_of(int row) const { return blocks[row >> 5] * kBlockRows + (row & 31); }
};

// The groups of a piece: so many, and each of them.
[[gnu::always_inline]] inline int64_t count_groups(const Piece& piece) {
    return (piece.end_block - piece.first_block + 1) / 2;
}

[[gnu::always_inline]] inline Group group_of(const Piece& piece, int64_t number) {
    const int64_t block = piece.first_block + number, other = block + count_groups(piece);
    const bool both = other < piece.end_block;
    return {piece.chunk, {block, both ? other : block}, both};
}

// Calls visit(group) for the groups of a piece.
template <typename Visit>
[[gnu::always_inline]] inline void visit_groups(const Piece& piece, const Visit& visit) {
    for (int64_t number = 0; number < count_groups(piece); ++number) visit(group_of(piece, number));
}

}  // namespace
}  // namespace pqstore
