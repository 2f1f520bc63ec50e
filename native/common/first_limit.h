// A first upper bound on the k-th distance, from a sample of the rows.
#pragma once

#include <algorithm>
#include <cstdint>

#include "scan_driver.h"
#include "top_k.h"

namespace pqstore {
namespace {

// The k-th distance among some blocks spread evenly over blocks first .. end - 1; +infinity if they hold fewer than k live
// rows, or are so few that the scan itself finds a limit as soon. `sample` is working memory.
template <typename Terms>
float first_limit(const ScanRequest& request, const Terms& terms, int64_t first, int64_t end, int64_t k, TopK& sample) {
    constexpr int64_t kLeastBlocks = 4;
    const int64_t blocks = end - first, wanted = std::max(kLeastBlocks, 2 * k / kBlockRows + 1);
    if (blocks < 4 * wanted) return kInfinity;
    sample.reset(k);
    int64_t start = first, taken = 0;
    visit_span(request, first, end, [&](const Piece& piece) {
        const int64_t length = piece.end_block - piece.first_block;
        for (int64_t next; (next = first + taken * blocks / wanted) < start + length; ++taken) {
            const int64_t block = piece.first_block + next - start;
            const uint8_t* codes = piece.chunk->packed + block * terms.block_bytes;
            for (uint32_t lanes = live_lanes(*piece.chunk, block); lanes; lanes &= lanes - 1)
                sample.offer(terms.distance(codes, __builtin_ctz(lanes)), 0);
        }
        start += length;
    });
    return sample.full() ? sample.limit() : kInfinity;
}

}  // namespace
}  // namespace pqstore
