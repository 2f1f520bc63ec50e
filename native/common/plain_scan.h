// The scan without bounds: the exact sum of every live row.
#pragma once

#include "common/code_terms.h"
#include "common/scan_driver.h"

namespace pqstore {
namespace {

template <typename Terms>
class PlainScanner {
  public:
    static constexpr int64_t kGroup = 8;

    PlainScanner(const ScanRequest& request, int64_t capacity) : request_(request), capacity_(capacity) {}

    void scan(int64_t first_query, int64_t count, int64_t first_block, int64_t end_block, SharedTopK* results) {
        for (int64_t q = 0; q < count; ++q) best_[q].reset(capacity_);
        visit_span(request_, first_block, end_block, [&](const Piece& piece) {
            // The codes of a tile stay in the first-level cache for all queries of the group.
            const int64_t tile = std::max<int64_t>(1, 16384 / request_.layout.block_bytes());
            for (int64_t begin = piece.first_block; begin < piece.end_block; begin += tile) {
                const int64_t end = std::min(begin + tile, piece.end_block);
                for (int64_t q = 0; q < count; ++q) {
                    best_[q].lower_limit(results[q].limit());
                    scan_tile(*piece.chunk, begin, end, first_query + q, best_[q]);
                    if (best_[q].full()) results[q].lower_limit(best_[q].limit());
                }
            }
        });
        for (int64_t q = 0; q < count; ++q) results[q].merge(best_[q]);
    }

  private:
    void scan_tile(const Chunk& chunk, int64_t begin, int64_t end, int64_t query, TopK& best) const {
        const Layout& layout = request_.layout;
        const Terms terms(layout, request_.tables + query * layout.M * layout.table_size);
        for (int64_t block = begin; block < end; ++block) {
            const uint8_t* codes = chunk.packed + block * terms.block_bytes;
            for (uint32_t lanes = live_lanes(chunk, block); lanes; lanes &= lanes - 1) {
                const int lane = __builtin_ctz(lanes);
                const int64_t row = live_row(request_, chunk, block * kBlockRows + lane);
                if (row >= 0) best.offer(terms.distance(codes, lane), row);
            }
        }
    }

    const ScanRequest& request_;
    int64_t capacity_;
    TopK best_[kGroup];
};

// Whether so few rows are asked about that they are summed sooner than tables for bounds are made.
inline bool is_plain(const ScanRequest& request) { return !request.layout.in_blocks() || count_blocks(request) <= 8; }

inline void plain_scan(const ScanRequest& request) {
    switch (request.layout.kind) {
        case LayoutKind::kBlock8: return run_scan<PlainScanner<Block8Terms>>(request);
        case LayoutKind::kBlock4: return run_scan<PlainScanner<Block4Terms>>(request);
        case LayoutKind::kRows16: return run_scan<PlainScanner<RowTerms<uint16_t>>>(request);
        case LayoutKind::kRows32: return run_scan<PlainScanner<RowTerms<uint32_t>>>(request);
    }
}

}  // namespace
}  // namespace pqstore
