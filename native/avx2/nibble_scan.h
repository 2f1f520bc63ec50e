// The scan of 4-bit codes: bytes of all 16 table entries fit one shuffle, so the bound is the distance itself, rounded
// down.
//
// One query or three share a pass over a block; many queries share a tile of blocks that stays in the second-level
// cache.
#pragma once

#include <immintrin.h>

#include "../common/bound_scale.h"
#include "../common/code_terms.h"
#include "../common/first_limit.h"
#include "../common/scan_driver.h"
#include "bytes.h"

namespace pqstore {
namespace {

// For each of kQueries queries, the bounds of a block: even vectors and odd ones. `tables` holds pairs * 32 bytes a
// query.
template <int kQueries>
inline void sum_nibble_block(const uint8_t* block, const uint8_t* tables, int64_t pairs, const Sections& sections,
                             __m256i even[kQueries], __m256i odd[kQueries]) {
    const __m256i low_nibbles = _mm256_set1_epi8(15);
    for (int q = 0; q < kQueries; ++q) even[q] = odd[q] = _mm256_setzero_si256();
    int64_t pair = 0;
    for (int64_t s = 0; s < sections.count; ++s) {
        __m256i first_half[kQueries], second_half[kQueries];
        for (int q = 0; q < kQueries; ++q) first_half[q] = second_half[q] = _mm256_setzero_si256();
#pragma GCC unroll 4
        for (const int64_t end = sections.ends[s]; pair < end; ++pair) {
            const __m256i codes = load_unaligned(block + 32 * pair);
            const __m256i first_codes = _mm256_and_si256(codes, low_nibbles);
            const __m256i second_codes = _mm256_and_si256(_mm256_srli_epi16(codes, 4), low_nibbles);
            for (int q = 0; q < kQueries; ++q) {
                const __m256i table = load(tables + 32 * (q * pairs + pair));
                first_half[q] = _mm256_adds_epu8(first_half[q], _mm256_shuffle_epi8(table, first_codes));
                second_half[q] = _mm256_adds_epu8(second_half[q], _mm256_shuffle_epi8(table, second_codes));
            }
        }
        for (int q = 0; q < kQueries; ++q) widen_add(first_half[q], second_half[q], even[q], odd[q]);
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
    static constexpr int kTogether = 3;
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
            const __m256 low = _mm256_loadu_ps(table), high = _mm256_loadu_ps(table + 8);
            // A NaN among the entries must not hide the others: it is the operand that _mm256_min_ps gives up.
            const __m256 most = _mm256_set1_ps(kInfinity);
            const float least = least_of(_mm256_min_ps(_mm256_min_ps(low, most), _mm256_min_ps(high, most)));
            _mm256_store_ps(state.entries.data() + m * 16, _mm256_sub_ps(low, _mm256_set1_ps(least)));
            _mm256_store_ps(state.entries.data() + m * 16 + 8, _mm256_sub_ps(high, _mm256_set1_ps(least)));
            base += least;
            mean += sum_of(_mm256_add_ps(low, high)) / 16;
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
                __m256i even[1], odd[1];
                sum_nibble_block<1>(codes, bytes, pairs_, sections_, even, odd);
                store_sums(sums, even[0], odd[0]);
            },
            lane_of_sum);
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
        const __m256i limit = _mm256_set1_epi16(static_cast<int16_t>(queries_[first].scale.limit_units()));
        const uint8_t* tables = bytes_.data() + first * pairs_ * 32;
        for (int64_t block = begin; block < end; ++block) {
            const uint8_t* codes = chunk.packed + block * block_bytes;
            if (kQueries == 1) prefetch(codes, kPrefetchBytes, block_bytes);
            __m256i even[kQueries], odd[kQueries];
            sum_nibble_block<kQueries>(codes, tables, pairs_, sections_, even, odd);
            uint32_t within[kQueries], any = 0;
            for (int q = 0; q < kQueries; ++q) any |= within[q] = lanes_within(even[q], odd[q], limit);
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
