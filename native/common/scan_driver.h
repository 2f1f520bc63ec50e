// A scan as tasks: groups of queries times spans of rows, each worker with its own scanner, results merged by query.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>

#include "common/buffer.h"
#include "common/living.h"
#include "common/top_k.h"
#include "contract.h"
#include "services/parallel.h"

namespace pqstore {
namespace {

// Whole 32-row blocks of a chunk; the last block of a chunk may be partial.
struct Piece {
    const Chunk* chunk;
    int64_t first_block;
    int64_t end_block;
};

// The lanes of a block that hold a live row, as bits.
inline uint32_t live_lanes(const Chunk& chunk, int64_t block) {
    const int64_t rows = std::min(kBlockRows, chunk.rows - block * kBlockRows);
    uint32_t live = rows == kBlockRows ? ~0u : (1u << rows) - 1;
    if (chunk.dead) {
        uint32_t dead = 0;
        if (rows == kBlockRows) {
            std::memcpy(&dead, chunk.dead + 4 * block, 4);
        } else {
            // The bitmap may end with the byte of the last row.
            for (int64_t byte = 0; byte < (rows + 7) / 8; ++byte)
                dead |= static_cast<uint32_t>(chunk.dead[4 * block + byte]) << (8 * byte);
        }
        live &= ~dead;
    }
    if (block == 0) live &= ~0u << chunk.skipped;
    return live;
}

// The number of a row that is in `live_lanes`, by its place in the chunk; -1: it is of a list, and dead.
inline int64_t live_row(const ScanRequest& request, const Chunk& chunk, int64_t place) {
    if (!chunk.numbers) return chunk.first_row + place;
    const int64_t row = chunk.first_row + chunk.numbers[place];
    if (chunk.dead) return row;
    return is_live(*request.living, row) ? row : -1;
}

inline int64_t blocks_of(const Chunk& chunk) { return (chunk.rows + kBlockRows - 1) / kBlockRows; }

inline int64_t count_blocks(const ScanRequest& request) {
    int64_t blocks = 0;
    for (int64_t i = 0; i < request.chunk_count; ++i) blocks += blocks_of(request.chunks[i]);
    return blocks;
}

// True if the codes are more than caches can be expected to hold from one scan to the next. What comes from memory is
// fetched ahead, which only delays what does not.
inline bool exceeds_caches(const ScanRequest& request) {
    return count_blocks(request) * request.layout.block_bytes() > int64_t{4} << 20;
}

// Calls visit(piece) for the parts of chunks that make up blocks first .. end - 1, counted over all chunks.
template <typename Visit>
void visit_span(const ScanRequest& request, int64_t first, int64_t end, const Visit& visit) {
    for (int64_t i = 0, start = 0; i < request.chunk_count && start < end; ++i) {
        const int64_t blocks = blocks_of(request.chunks[i]);
        const int64_t from = std::max(first, start), to = std::min(end, start + blocks);
        if (from < to) visit(Piece{&request.chunks[i], from - start, to - start});
        start += blocks;
    }
}

// Runs `Scanner` over the request. A scanner is made once a worker, from the request, and provides
//   kGroup: how many queries it scans at a time at most, and does where no `group_queries` are given;
//   scan(first_query, query_count, first_block, end_block, SharedTopK* results of these queries).
template <typename Scanner>
void run_scan(const ScanRequest& request, const int64_t group_queries = Scanner::kGroup) {
    if (request.queries == 0) return;
    const int64_t blocks = count_blocks(request);
    const int64_t capacity = std::min(request.k, blocks * kBlockRows);
    const int64_t groups = (request.queries + group_queries - 1) / group_queries;

    // A span shorter than this is not worth a thread.
    constexpr int64_t kLeastWork = 1 << 20;
    const int64_t span_work =
        blocks * request.layout.block_bytes() * std::min(request.queries, group_queries);
    const int64_t most_spans = std::max<int64_t>(1, span_work / kLeastWork);
    const int64_t wanted = request.threads == 1 ? 1 : (4 * request.threads + groups - 1) / groups;
    const int64_t spans = std::min(wanted, most_spans);
    const bool worth_threads = groups * span_work >= 2 * kLeastWork;
    const int threads = worth_threads ? request.threads : 1;

    std::unique_ptr<SharedTopK[]> results(new SharedTopK[static_cast<size_t>(request.queries)]);
    for (int64_t q = 0; q < request.queries; ++q) results[static_cast<size_t>(q)].reset(capacity);

    const int64_t tasks = groups * spans;
    const int workers = static_cast<int>(std::min<int64_t>(threads, tasks));
    std::unique_ptr<std::unique_ptr<Scanner>[]> scanners(
        new std::unique_ptr<Scanner>[static_cast<size_t>(workers) + 1]);
    parallel_for(threads, tasks, [&](int worker, int64_t task) {
        std::unique_ptr<Scanner>& scanner = scanners[static_cast<size_t>(worker)];
        if (!scanner) scanner.reset(new Scanner(request, capacity));
        const int64_t group = task / spans, span = task % spans;
        const int64_t first = group * group_queries, count = std::min(group_queries, request.queries - first);
        scanner->scan(first, count, blocks * span / spans, blocks * (span + 1) / spans,
                      &results[static_cast<size_t>(first)]);
    });
    for (int64_t q = 0; q < request.queries; ++q)
        results[static_cast<size_t>(q)].write(request.k, request.ordered, request.distances + q * request.k,
                                              request.rows + q * request.k);
}

}  // namespace
}  // namespace pqstore
