// Stored originals as a scan walks through them.
#pragma once

#include <algorithm>
#include <cstdint>

#include "contract.h"

namespace pqstore {
namespace {

// Rows first .. end - 1 of a chunk.
struct OriginalPiece {
    const OriginalChunk* chunk;
    int64_t first;
    int64_t end;
};

inline int64_t count_rows(const ExactScanRequest& request) {
    int64_t rows = 0;
    for (int64_t i = 0; i < request.chunk_count; ++i) rows += request.chunks[i].rows;
    return rows;
}

// Calls visit(piece) for the parts of chunks that make up rows first .. end - 1, counted over all chunks.
template <typename Visit>
void visit_originals(const ExactScanRequest& request, int64_t first, int64_t end, const Visit& visit) {
    for (int64_t i = 0, start = 0; i < request.chunk_count && start < end; ++i) {
        const int64_t rows = request.chunks[i].rows;
        const int64_t from = std::max(first, start), to = std::min(end, start + rows);
        if (from < to) visit(OriginalPiece{&request.chunks[i], from - start, to - start});
        start += rows;
    }
}

inline bool is_live(const OriginalChunk& chunk, int64_t place) {
    return !chunk.dead || (chunk.dead[place >> 3] >> (place & 7) & 1) == 0;
}

}  // namespace
}  // namespace pqstore
