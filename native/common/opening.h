// The opening of a scan: bounds of its first rows are kept, and the rows that look nearest are summed first. So the
// limit is near its final value before the many other rows are looked at, and few of them remain.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "common/bound_scale.h"
#include "common/buffer.h"
#include "common/scan_driver.h"
#include "common/top_k.h"

namespace pqstore {
namespace {

// Blocks first .. end - 1 of a scan, counted over all chunks.
struct BlockSpan {
    int64_t first;
    int64_t end;

    int64_t count() const { return end - first; }
};

// Calls visit(chunk, block) for all blocks of a span.
template <typename Visit>
void visit_blocks(const ScanRequest& request, BlockSpan span, const Visit& visit) {
    visit_span(request, span.first, span.end, [&](const Piece& piece) {
        for (int64_t block = piece.first_block; block < piece.end_block; ++block) visit(*piece.chunk, block);
    });
}

// Calls visit(chunk, block) for `wanted` blocks of a span, spread evenly.
template <typename Visit>
void visit_sample(const ScanRequest& request, BlockSpan span, int64_t wanted, const Visit& visit) {
    int64_t start = span.first, taken = 0;
    visit_span(request, span.first, span.end, [&](const Piece& piece) {
        const int64_t length = piece.end_block - piece.first_block;
        for (int64_t next;
             taken < wanted && (next = span.first + taken * span.count() / wanted) < start + length; ++taken)
            visit(*piece.chunk, piece.first_block + next - start);
        start += length;
    });
}

// An upper bound on the k-th distance of a span: the k-th of all rows of `wanted` blocks. +infinity if they hold fewer.
template <typename Terms>
float sampled_limit(const ScanRequest& request, const Terms& terms, BlockSpan span, int64_t wanted, TopK& best) {
    visit_sample(request, span, wanted, [&](const Chunk& chunk, int64_t block) {
        const uint8_t* codes = chunk.packed + block * terms.block_bytes;
        for (uint32_t lanes = live_lanes(chunk, block); lanes; lanes &= lanes - 1)
            best.offer(terms.distance(codes, __builtin_ctz(lanes)), 0);
    });
    return best.full() ? best.limit() : kInfinity;
}

// Opens the scan of one query. `Simd` names the functions of an instruction set. The query, passed to `run`, provides
//   terms(): exact distances;
//   scale(): the BoundScale of its bounds, and mean(): the mean distance of a row, or +infinity;
//   rescale(limit): bounds from now on are in units that suit this limit;
//   bound(codes, sums): the bounds of a block, at the positions of Simd::sum_position;
//   expect(survivors, blocks): how many rows of a sample would remain, so that it can choose another bound;
//   begin_refining(), and then refine(codes, lane, allowance): false if the row is beyond the limit.
template <typename Simd>
class Opening {
  public:
    // Offers all rows that can be among the nearest of the span's first `most` blocks to `best`, which is empty.
    // Returns the block after them; the span's first if the tables allow no bound.
    template <typename Query>
    int64_t run(const ScanRequest& request, Query& query, BlockSpan span, int64_t most, int64_t k, TopK& best) {
        float about = query.mean();
        if (query.scale().usable() && !(about < kInfinity)) {
            sample_.reset(1);
            about = sampled_limit(request, query.terms(), span, 4, sample_);
        }
        if (!query.scale().usable() || !(about < kInfinity)) return span.first;
        query.rescale(about);
        span.end = std::min(span.end, span.first + most);
        if (span.count() >= 2 * kSample) choose_units(request, query, span, k);
        keep_bounds(request, query, span, span.count());

        int cut = -1;
        for (int64_t wanted = k + k / 2 + 8; !best.full() && cut < kMostUnits; wanted *= 2) {
            const int next = cut_of(wanted, query.scale().limit_units());
            offer(query, cut, next, best, [](const uint8_t*, int, int) { return true; });
            cut = next;
        }
        query.begin_refining();
        offer(query, cut, query.scale().units_of(best.limit()), best,
              [&](const uint8_t* codes, int lane, int allowance) { return query.refine(codes, lane, allowance); });
        return span.end;
    }

  private:
    static constexpr int64_t kSample = 32;                  // blocks
    static constexpr int64_t kAhead = 3, kAheadBytes = 1024;  // blocks of which codes are fetched ahead, how much of each
    static constexpr int kMostUnits = 32767;

    struct KeptBlock {
        const Chunk* chunk;
        int64_t block;
        const uint8_t* codes;
    };

    // From a sample of rows: units for about the k-th distance of the span, and what to expect of the bound.
    template <typename Query>
    void choose_units(const ScanRequest& request, Query& query, BlockSpan span, int64_t k) {
        keep_bounds(request, query, span, kSample);
        // The k-th row of the span is likely to be of this rank among the sampled ones.
        const double rank = static_cast<double>(k) * kSample / static_cast<double>(span.count());
        const int64_t looked_at = std::max<int64_t>(kNear, static_cast<int64_t>(rank) + 1);
        sample_.reset(looked_at);
        const int cut = cut_of(looked_at + looked_at / 2 + 8, query.scale().limit_units());
        offer(query, -1, cut, sample_, [](const uint8_t*, int, int) { return true; });
        if (!sample_.full() || !(sample_.limit() < kInfinity)) return;
        sample_.sort();
        const auto distance = [&](int64_t at) { return static_cast<double>(sample_.begin()[at].distance); };
        const double nearest = distance(0), near = distance(kNear - 1);
        double expected = sample_.limit();
        // Below the sample's resolution: distances fall as the logarithm of the rank, as they do within the sample. Its
        // first row is left out, for that one may be near by chance.
        if (rank < kNear) expected = near + (near - distance(1)) * std::log(rank / kNear) / std::log(kNear / 2);
        const double base = query.scale().base();
        expected = std::max(expected, base);
        const int units = query.scale().units_of(static_cast<float>(expected));
        query.expect(Simd::count_within(bounds_.data(), kSample, 1, units), kSample);
        // Bounds beyond the units are cut off, so these must not be too small.
        query.rescale(static_cast<float>(base + 1.1 * (std::max(expected, nearest) - base)));
    }

    // Of all blocks of a span, or of a sample of them.
    template <typename Query>
    void keep_bounds(const ScanRequest& request, Query& query, BlockSpan span, int64_t wanted) {
        kept_ = 0;
        blocks_.resize(static_cast<size_t>(wanted));
        bounds_.resize(static_cast<size_t>(wanted * kBlockRows));
        const int64_t block_bytes = request.layout.block_bytes();
        const int64_t fetched = exceeds_caches(request) ? block_bytes : 0;  // ahead, of each block
        const auto keep = [&](const Chunk& chunk, int64_t block) {
            const uint8_t* codes = chunk.packed + block * block_bytes;
            Simd::prefetch(codes, Simd::kPrefetchBytes, fetched);
            query.bound(codes, bounds_.data() + kept_ * kBlockRows);
            blocks_[static_cast<size_t>(kept_++)] = {&chunk, block, codes};
        };
        if (wanted == span.count()) {
            visit_blocks(request, span, keep);
        } else {
            visit_sample(request, span, wanted, keep);
        }
    }

    // A bound that about `wanted` kept rows do not exceed, judged by a quarter of them if they are many: the least such
    // bound, or a little above it. The search begins at `expected`.
    int cut_of(int64_t wanted, int expected) const {
        const int64_t stride = kept_ < 64 ? 1 : 4;
        const auto enough = [&](int cut) {
            return stride * Simd::count_within(bounds_.data(), kept_, stride, cut) >= wanted;
        };
        int low = 0, high = std::min(expected, kMostUnits);
        while (high < kMostUnits && !enough(high)) {
            low = high;
            high = std::min(2 * high, kMostUnits);
        }
        while (high - low > high / 64) {
            const int middle = (low + high) / 2;
            if (enough(middle)) {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        return high;
    }

    // Offers the kept rows whose bounds are above `over` and within `limit`, and pass a last look.
    template <typename Query, typename Look>
    void offer(Query& query, int over, int limit, TopK& best, const Look& look) {
        const auto& terms = query.terms();
        remaining_.resize(static_cast<size_t>(kept_));
        int64_t remaining = 0;
        for (int64_t i = 0; i < kept_; ++i) {
            const uint16_t* sums = bounds_.data() + i * kBlockRows;
            const uint32_t lanes = Simd::lanes_within(sums, limit) & ~Simd::lanes_within(sums, over);
            remaining_[static_cast<size_t>(remaining)] = {i, lanes};
            remaining += lanes != 0;
        }
        // They are no longer in the nearest cache.
        const int64_t ahead_bytes = std::min(kAheadBytes, terms.block_bytes);
        for (int64_t j = 0; j < remaining; ++j) {
            if (j + kAhead < remaining) Simd::prefetch(block_of(j + kAhead).codes, 0, ahead_bytes);
            const KeptBlock& kept = block_of(j);
            const uint16_t* sums = bounds_.data() + remaining_[static_cast<size_t>(j)].kept * kBlockRows;
            uint32_t lanes = remaining_[static_cast<size_t>(j)].lanes & live_lanes(*kept.chunk, kept.block);
            for (; lanes; lanes &= lanes - 1) {
                const int lane = __builtin_ctz(lanes);
                if (!look(kept.codes, lane, limit - sums[Simd::sum_position(lane)])) continue;
                const float before = best.limit();
                best.offer(terms.distance(kept.codes, lane), kept.chunk->first_row + kept.block * kBlockRows + lane);
                if (best.limit() < before) limit = std::min(limit, query.scale().units_of(best.limit()));
            }
        }
    }

    const KeptBlock& block_of(int64_t j) const {
        return blocks_[static_cast<size_t>(remaining_[static_cast<size_t>(j)].kept)];
    }

    struct Remaining {
        int64_t kept;
        uint32_t lanes;
    };

    static constexpr int64_t kNear = 16;  // rows of the sample that show how distances fall

    int64_t kept_ = 0;
    Buffer<KeptBlock> blocks_;
    Buffer<uint16_t> bounds_;
    Buffer<Remaining> remaining_;
    TopK sample_;
};

}  // namespace
}  // namespace pqstore
