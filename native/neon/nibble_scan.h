// The scan of 4-bit codes: bytes of all 16 table entries fit one shuffle, so the bound is the distance itself, rounded
// down.
//
// One query or two share a pass over a block; many queries share a tile of blocks that stays in the second-level
// cache.
#pragma once

#include <arm_neon.h>

#include <algorithm>
#include <cmath>

#include "../common/bound_scale.h"
#include "../common/code_terms.h"
#include "../common/first_limit.h"
#include "../common/scan_driver.h"
#include "bytes.h"

namespace pqstore {
namespace {

// For each of kQueries queries, the bounds of a block. `tables` holds pairs * 32 bytes a query.
template <int kQueries>
inline void sum_nibble_block(const uint8_t* block, const uint8_t* tables, int64_t pairs, const Sections& sections,
                             uint16x8_t totals[kQueries][kSumVectors]) {
    for (int q = 0; q < kQueries; ++q)
        for (int i = 0; i < kSumVectors; ++i) totals[q][i] = vdupq_n_u16(0);
    int64_t pair = 0;
    for (int64_t s = 0; s < sections.count; ++s) {
        // Of the first and the second sub-space of each pair, for rows 0..15 and rows 16..31.
        uint8x16_t low[kQueries][2] = {}, high[kQueries][2] = {};
        for (const int64_t end = sections.ends[s]; pair < end; ++pair) {
            for (int m = 0; m < 2; ++m) {
                const uint8x16_t codes = vld1q_u8(block + 32 * pair + 16 * m);
                const uint8x16_t low_codes = vandq_u8(codes, vdupq_n_u8(15)), high_codes = vshrq_n_u8(codes, 4);
                for (int q = 0; q < kQueries; ++q) {
                    const uint8x16_t table = vld1q_u8(tables + 32 * (q * pairs + pair) + 16 * m);
                    low[q][m] = vqaddq_u8(low[q][m], vqtbl1q_u8(table, low_codes));
                    high[q][m] = vqaddq_u8(high[q][m], vqtbl1q_u8(table, high_codes));
                }
            }
        }
        for (int q = 0; q < kQueries; ++q)
            for (int m = 0; m < 2; ++m) {
                widen_add(low[q][m], totals[q]);
                widen_add(high[q][m], totals[q] + 2);
            }
    }
}

class NibbleScanner {
  public:
    static constexpr int64_t kGroup = 24;

    NibbleScanner(const ScanRequest& request, int64_t capacity)
        : request_(request),
          capacity_(capacity),
          pairs_(request.layout.pairs()),
          sections_(pairs_, kSectionPairs),
          bytes_(static_cast<size_t>(kGroup * pairs_ * 32)) {
        for (Query& query : queries_) query.entries.resize(static_cast<size_t>(pairs_ * 32));
    }

    void scan(int64_t first_query, int64_t count, int64_t first_block, int64_t end_block, SharedTopK* results) {
        for (int64_t q = 0; q < count; ++q) prepare(q, first_query + q, first_block, end_block, results[q]);
        const int64_t tile = count == 1 ? kStretch : std::max<int64_t>(1, kTileBytes / request_.layout.block_bytes());
        visit_span(request_, first_block, end_block, [&](const Piece& piece) {
            for (int64_t begin = piece.first_block; begin < piece.end_block; begin += tile) {
                const int64_t end = std::min(begin + tile, piece.end_block);
                int64_t q = 0;
                for (; q + kTogether <= count; q += kTogether) scan_tile<kTogether>(*piece.chunk, begin, end, q);
                for (; q < count; ++q) scan_tile<1>(*piece.chunk, begin, end, q);
                for (q = 0; q < count; ++q) {
                    TopK& best = queries_[q].best;
                    best.lower_limit(results[q].limit());
                    if (best.full()) results[q].lower_limit(best.limit());
                }
            }
        });
        for (int64_t q = 0; q < count; ++q) results[q].merge(queries_[q].best);
    }

  private:
    static constexpr int64_t kSectionPairs = 12;
    static constexpr double kSaturation = 2.0;  // sections saturate at twice their share of the limit
    static constexpr int kTogether = 2;
    static constexpr int64_t kStretch = 256;
    static constexpr int64_t kTileBytes = 1 << 15;
    static constexpr double kRescale = 0.98;

    struct Query {
        const float* table;
        Buffer<float> entries;  // above each sub-space's least entry; zero for the sub-space that pads an odd M
        BoundScale scale;
        TopK best;
    };

    void prepare(int64_t q, int64_t query, int64_t first_block, int64_t end_block, const SharedTopK& result) {
        Query& state = queries_[q];
        const int64_t M = request_.layout.M;
        state.table = request_.tables + query * M * 16;
        double base = 0, magnitudes = 0, mean = 0;
        std::fill(state.entries.data() + M * 16, state.entries.data() + pairs_ * 32, 0.0f);
        for (int64_t m = 0; m < M; ++m) {
            const float* table = state.table + m * 16;
            // Of a number and a NaN, vminnm takes the number.
            float32x4_t lowest = vdupq_n_f32(kInfinity), total = vdupq_n_f32(0);
            for (int i = 0; i < 16; i += 4) {
                lowest = vminnmq_f32(lowest, vld1q_f32(table + i));
                total = vaddq_f32(total, vld1q_f32(table + i));
            }
            const float least = vminnmvq_f32(lowest);
            for (int i = 0; i < 16; i += 4)
                vst1q_f32(state.entries.data() + m * 16 + i, vsubq_f32(vld1q_f32(table + i), vdupq_n_f32(least)));
            base += least;
            mean += static_cast<double>(vaddvq_f32(total)) / 16;
            magnitudes += std::fabs(static_cast<double>(least));
        }
        state.scale.prepare(base, magnitudes, M, sections_.capacity() / kSaturation);
        state.best.reset(capacity_);
        state.best.lower_limit(result.limit());
        state.best.lower_limit(sampled_limit(q, static_cast<float>(mean), first_block, end_block));
        rescale(q);
    }

    // From bounds in units that suit the mean distance: the rows that matter are well below it.
    float sampled_limit(int64_t q, float mean, int64_t first_block, int64_t end_block) {
        Query& state = queries_[q];
        const Block4Terms terms(request_.layout, state.table);
        if (!state.scale.usable() || !(mean < kInfinity))
            return first_limit(request_, terms, first_block, end_block, capacity_, sample_);
        uint8_t* bytes = bytes_.data() + q * pairs_ * 32;
        state.scale.set_limit(mean);
        quantize_down(state.entries.data(), pairs_ * 32, state.scale.scale(), bytes);
        return first_limit_by_bounds(
            request_, terms, first_block, end_block, capacity_, sample_, sample_sums_,
            [&](const uint8_t* codes, uint16_t* sums) {
                uint16x8_t totals[1][kSumVectors];
                sum_nibble_block<1>(codes, bytes, pairs_, sections_, totals);
                store_sums(sums, totals[0]);
            },
            [](int lane) { return lane; });
    }

    // Scales the bytes to the limit as it is now. Without a limit, or with tables that give none, all bytes are zero:
    // no row is discarded.
    void rescale(int64_t q) {
        Query& state = queries_[q];
        uint8_t* bytes = bytes_.data() + q * pairs_ * 32;
        if (!state.scale.usable() || !(state.best.limit() < kInfinity)) {
            std::fill(bytes, bytes + pairs_ * 32, uint8_t{0});
            return;
        }
        state.scale.set_limit(state.best.limit());
        quantize_down(state.entries.data(), pairs_ * 32, state.scale.scale(), bytes);
    }

    template <int kQueries>
    void scan_tile(const Chunk& chunk, int64_t begin, int64_t end, int64_t first) {
        const int64_t block_bytes = request_.layout.block_bytes();
        const uint16x8_t limit = vdupq_n_u16(static_cast<uint16_t>(queries_[first].scale.limit_units()));
        const uint8_t* tables = bytes_.data() + first * pairs_ * 32;
        for (int64_t block = begin; block < end; ++block) {
            const uint8_t* codes = chunk.packed + block * block_bytes;
            uint16x8_t totals[kQueries][kSumVectors];
            sum_nibble_block<kQueries>(codes, tables, pairs_, sections_, totals);
            uint32_t within[kQueries], any = 0;
            for (int q = 0; q < kQueries; ++q) any |= within[q] = lanes_within(totals[q], limit);
            if (any == 0) continue;
            const uint32_t live = live_lanes(chunk, block);
            for (int q = 0; q < kQueries; ++q)
                if (within[q] & live) offer(first + q, chunk, block, within[q] & live);
        }
    }

    void offer(int64_t q, const Chunk& chunk, int64_t block, uint32_t lanes) {
        Query& state = queries_[q];
        const Block4Terms terms(request_.layout, state.table);
        const uint8_t* codes = chunk.packed + block * terms.block_bytes;
        for (; lanes; lanes &= lanes - 1) {
            const int lane = __builtin_ctz(lanes);
            state.best.offer(terms.distance(codes, lane), chunk.first_row + block * kBlockRows + lane);
        }
        if (state.scale.outdated(state.best.limit(), kRescale)) rescale(q);
    }

    const ScanRequest& request_;
    int64_t capacity_;
    int64_t pairs_;
    Sections sections_;
    Buffer<uint8_t> bytes_;
    Query queries_[kGroup];
    TopK sample_;
    Buffer<uint16_t> sample_sums_;
};

}  // namespace
}  // namespace pqstore
