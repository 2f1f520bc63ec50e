// The scan of 4-bit codes: bytes of all 16 table entries fit one shuffle, so the bound is the distance itself, rounded
// down.
//
// One query or three share a pass over a block; many queries share a tile of blocks that stays in the second-level
// cache.
#pragma once

#include "common/code_terms.h"
#include "common/opening.h"
#include "common/scan_driver.h"

namespace pqstore {
namespace {

// `Simd` names the functions of an instruction set: what Opening needs, above_least, bound_nibbles, quantize_down.
template <typename Simd>
class NibbleScanner {
  public:
    static constexpr int64_t kGroup = 24;

    NibbleScanner(const ScanRequest& request, int64_t capacity)
        : request_(request),
          capacity_(capacity),
          pairs_(request.layout.pairs()),
          sections_(pairs_, kSectionPairs),
          from_memory_(exceeds_caches(request)),
          bytes_(static_cast<size_t>(kGroup * pairs_ * 32)) {}

    void scan(int64_t first_query, int64_t count, int64_t first_block, int64_t end_block, SharedTopK* results) {
        // Each query opens by itself; in a group it sees fewer rows then, because rows are cheaper together.
        const BlockSpan span{first_block, end_block};
        const int64_t most = count < kTogether ? kOpening : std::min(kOpening, kOpeningOfGroup + 8 * capacity_);
        int64_t opened[kGroup], start = first_block;
        for (int64_t q = 0; q < count; ++q) {
            Query& query = queries_[q];
            query.prepare(request_, sections_, first_query + q, bytes_.data() + q * pairs_ * 32);
            query.best.reset(capacity_);
            query.best.lower_limit(results[q].limit());
            const bool limited = query.best.limit() < kInfinity;
            opened[q] = limited ? first_block : opening_.run(request_, query, span, most, capacity_, query.best);
            query.rescale_to_best();
            start = std::max(start, opened[q]);
        }
        // Those that did not open catch up with those that did.
        for (int64_t q = 0; q < count; ++q)
            visit_span(request_, opened[q], start,
                       [&](const Piece& piece) { scan_tile<1>({piece, 0}, q); });
        const int64_t tile = count == 1 ? kStretch : std::max<int64_t>(1, kTileBytes / request_.layout.block_bytes());
        visit_span(request_, start, end_block, [&](const Piece& piece) {
            visit_tiles(piece, tile, from_memory_ && count == 1, [&](const Tile& blocks) {
                int64_t q = 0;
                for (; q + kTogether <= count; q += kTogether) scan_tile<kTogether>(blocks, q);
                for (; q < count; ++q) scan_tile<1>(blocks, q);
                for (q = 0; q < count; ++q) {
                    TopK& best = queries_[q].best;
                    if (best.full()) results[q].lower_limit(best.limit());
                    best.lower_limit(results[q].limit());
                }
            });
        });
        for (int64_t q = 0; q < count; ++q) results[q].merge(queries_[q].best);
    }

  private:
    static constexpr int64_t kSectionPairs = 12;
    static constexpr double kSaturation = 2.0;  // sections saturate at twice their share of the limit
    static constexpr int kTogether = 3;
    static constexpr int64_t kOpening = 1024, kOpeningOfGroup = 128;  // blocks
    static constexpr int64_t kStretch = 256;
    static constexpr int64_t kTileBytes = 1 << 15;
    static constexpr double kRescale = 0.98;

    // One query, and what its opening asks of it.
    struct Query {
        Block4Terms exact{{}, nullptr};
        Buffer<float> entries;  // above each sub-space's least entry; zero for the sub-space that pads an odd M
        uint8_t* bytes;         // the same in units, pairs * 32
        int64_t pairs;
        const Sections* sections;
        BoundScale bound_scale;
        float mean_distance;
        TopK best;

        void prepare(const ScanRequest& request, const Sections& all_sections, int64_t query, uint8_t* units) {
            const int64_t M = request.layout.M;
            exact = Block4Terms(request.layout, request.tables + query * M * 16);
            bytes = units;
            pairs = request.layout.pairs();
            sections = &all_sections;
            entries.resize(static_cast<size_t>(pairs * 32));
            std::fill(entries.data() + M * 16, entries.data() + pairs * 32, 0.0f);
            double base = 0, magnitudes = 0, total = 0;
            for (int64_t m = 0; m < M; ++m) {
                const double least = Simd::above_least(exact.table + m * 16, entries.data() + m * 16, &total);
                base += least;
                magnitudes += std::fabs(least);
            }
            mean_distance = static_cast<float>(total / 16);
            bound_scale.prepare(base, magnitudes, M, sections->capacity() / kSaturation);
        }

        const Block4Terms& terms() const { return exact; }
        const BoundScale& scale() const { return bound_scale; }
        float mean() const { return mean_distance; }

        void rescale(float limit) {
            bound_scale.set_limit(limit);
            Simd::quantize_down(entries.data(), pairs * 32, bound_scale.scale(), bytes);
        }

        // Without a limit, or with tables that give none, all bytes are zero: no row is discarded.
        void rescale_to_best() {
            if (bound_scale.usable() && best.limit() < kInfinity) return rescale(best.limit());
            std::fill(bytes, bytes + pairs * 32, uint8_t{0});
        }

        void bound(const uint8_t* codes, uint16_t* sums) const {
            Simd::nibble_sums(codes, bytes, pairs, *sections, sums);
        }

        // There is but one bound, and nothing between it and the exact sum.
        void expect(int64_t, int64_t) {}
        void begin_refining() {}
        bool refine(const uint8_t*, int, int allowance) const { return allowance >= 0; }
    };

    // The blocks of a piece and, unless `apart` is 0, the blocks that lie that many further on.
    struct Tile {
        Piece piece;
        int64_t apart;
    };

    // Calls visit(tile) for parts of a piece, of `most` blocks or less. With `in_halves`, a tile has so many blocks of
    // each half of the piece: memory serves two places by turns faster than one.
    template <typename Visit>
    static void visit_tiles(const Piece& piece, int64_t most, bool in_halves, const Visit& visit) {
        const int64_t half = in_halves ? (piece.end_block - piece.first_block) / 2 : 0;
        const int64_t middle = piece.first_block + half;
        for (int64_t begin = piece.first_block; begin < middle; begin += most)
            visit(Tile{{piece.chunk, begin, std::min(begin + most, middle)}, half});
        for (int64_t begin = middle + half; begin < piece.end_block; begin += most)
            visit(Tile{{piece.chunk, begin, std::min(begin + most, piece.end_block)}, 0});
    }

    template <int kQueries>
    void scan_tile(const Tile& tile, int64_t first_query) {
        const Chunk& chunk = *tile.piece.chunk;
        const int64_t block_bytes = request_.layout.block_bytes();
        const int64_t fetched = kQueries == 1 && from_memory_ ? block_bytes : 0;  // ahead, of each block
        const int limit = queries_[first_query].bound_scale.limit_units();  // the same for all
        const uint8_t* tables = bytes_.data() + first_query * pairs_ * 32;
        const auto scan_block = [&](int64_t block) {
            const uint8_t* codes = chunk.packed + block * block_bytes;
            Simd::prefetch(codes, Simd::kPrefetchBytes, fetched);
            uint32_t within[kQueries];
            if (!Simd::template bound_nibbles<kQueries>(codes, tables, pairs_, sections_, limit, within)) return;
            const uint32_t live = live_lanes(chunk, block);
            for (int q = 0; q < kQueries; ++q)
                if (within[q] & live) offer(queries_[first_query + q], chunk, block, within[q] & live);
        };
        for (int64_t first = tile.piece.first_block; first < tile.piece.end_block; ++first)
            for (int64_t block = first;; block += tile.apart) {
                scan_block(block);
                if (block == first + tile.apart) break;
            }
    }

    static void offer(Query& query, const Chunk& chunk, int64_t block, uint32_t lanes) {
        const uint8_t* codes = chunk.packed + block * query.exact.block_bytes;
        for (; lanes; lanes &= lanes - 1) {
            const int lane = __builtin_ctz(lanes);
            query.best.offer(query.exact.distance(codes, lane), chunk.first_row + block * kBlockRows + lane);
        }
        if (query.bound_scale.outdated(query.best.limit(), kRescale)) query.rescale_to_best();
    }

    const ScanRequest& request_;
    int64_t capacity_;
    int64_t pairs_;
    Sections sections_;
    bool from_memory_;
    Buffer<uint8_t> bytes_;
    Query queries_[kGroup];
    Opening<Simd> opening_;
};

}  // namespace
}  // namespace pqstore
