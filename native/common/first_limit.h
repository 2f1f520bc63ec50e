// A first upper bound on the k-th distance, from a sample of the rows: rows only lower it from there.
#pragma once

#include <algorithm>
#include <cstdint>

#include "scan_driver.h"
#include "top_k.h"

namespace pqstore {
namespace {

// Calls visit(chunk, block) for `wanted` of the blocks first .. end - 1, spread evenly.
template <typename Visit>
void visit_sample(const ScanRequest& request, int64_t first, int64_t end, int64_t wanted, const Visit& visit) {
    int64_t start = first, taken = 0;
    visit_span(request, first, end, [&](const Piece& piece) {
        const int64_t length = piece.end_block - piece.first_block;
        for (int64_t next; taken < wanted && (next = first + taken * (end - first) / wanted) < start + length; ++taken)
            visit(*piece.chunk, piece.first_block + next - start);
        start += length;
    });
}

// From the exact distances of a few blocks. +infinity if they hold fewer than k live rows, or if the rows are so few
// that the scan itself finds a limit as soon.
template <typename Terms>
float first_limit(const ScanRequest& request, const Terms& terms, int64_t first, int64_t end, int64_t k, TopK& sample) {
    const int64_t wanted = std::max<int64_t>(4, 2 * k / kBlockRows + 1);
    if (end - first < 4 * wanted) return kInfinity;
    sample.reset(k);
    visit_sample(request, first, end, wanted, [&](const Chunk& chunk, int64_t block) {
        const uint8_t* codes = chunk.packed + block * terms.block_bytes;
        for (uint32_t lanes = live_lanes(chunk, block); lanes; lanes &= lanes - 1)
            sample.offer(terms.distance(codes, __builtin_ctz(lanes)), 0);
    });
    return sample.full() ? sample.limit() : kInfinity;
}

// The same from a sixteenth of the blocks: exact distances only of those rows whose bounds are least. Bounds come from
// sums_of(codes, sums), which writes a block's 32; position i belongs to lane_of(i).
template <typename Terms, typename SumsOf, typename LaneOf>
float first_limit_by_bounds(const ScanRequest& request, const Terms& terms, int64_t first, int64_t end, int64_t k,
                            TopK& sample, Buffer<uint16_t>& sums, const SumsOf& sums_of, const LaneOf& lane_of) {
    const int64_t chosen = k + k / 2 + 8;  // rows to sum exactly, about
    const int64_t wanted = std::max(std::min((end - first) / 16, 96 + 2 * k), 4 * chosen / kBlockRows + 1);
    if (end - first < 4 * wanted) return first_limit(request, terms, first, end, k, sample);

    sums.resize(static_cast<size_t>(wanted * kBlockRows));
    int64_t taken = 0;
    visit_sample(request, first, end, wanted, [&](const Chunk& chunk, int64_t block) {
        sums_of(chunk.packed + block * terms.block_bytes, sums.data() + taken * kBlockRows);
        ++taken;
    });
    // The bound that about `chosen` rows do not exceed, as a quarter of the rows tell.
    constexpr int64_t kStep = 4;
    const int64_t counted = wanted * kBlockRows / kStep;
    Buffer<uint16_t> some(static_cast<size_t>(counted));
    for (int64_t i = 0; i < counted; ++i) some[static_cast<size_t>(i)] = sums[static_cast<size_t>(kStep * i)];
    uint16_t* cut = some.data() + std::min(chosen / kStep, counted - 1);
    std::nth_element(some.data(), cut, some.data() + counted, [](uint16_t a, uint16_t b) { return a < b; });

    sample.reset(k);
    taken = 0;
    visit_sample(request, first, end, wanted, [&](const Chunk& chunk, int64_t block) {
        const uint16_t* block_sums = sums.data() + taken++ * kBlockRows;
        uint32_t least = 0;
        for (int i = 0; i < kBlockRows; ++i) least |= static_cast<uint32_t>(block_sums[i] <= *cut) << i;
        if (least == 0) return;
        const uint32_t live = live_lanes(chunk, block);
        for (; least; least &= least - 1) {
            const int lane = lane_of(__builtin_ctz(least));
            if (live >> lane & 1) sample.offer(terms.distance(chunk.packed + block * terms.block_bytes, lane), 0);
        }
    });
    return sample.full() ? sample.limit() : kInfinity;
}

}  // namespace
}  // namespace pqstore
