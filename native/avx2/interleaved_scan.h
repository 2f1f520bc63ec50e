// The scan of 8-bit codes for many queries: one byte of code looks up the entries of up to 32 queries at once.
//
// The table of a sub-space holds, for each label, one byte a query, scaled to the query's limit and rounded down. A
// tile of rows meets one pair of sub-spaces after the other, so that the pair's tables and the tile's sums stay in the
// first-level cache. Bytes are added with saturation: over all sub-spaces if they are few, else over sections of them,
// whose sums are added in 16 bits, because rounding many entries down to few units would discard too little. Rows that
// remain for a query get their exact sum; of the first rows, whose sums are kept, those with the least sums come first.
#pragma once

#include <immintrin.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "avx2/query_lanes.h"
#include "avx2/simd.h"
#include "avx2/transpose.h"
#include "common/bound_scale.h"
#include "common/code_terms.h"
#include "common/opening.h"
#include "common/prefix_scan.h"
#include "common/scan_driver.h"

namespace pqstore {
namespace {

class InterleavedScanner {
  public:
    static constexpr int64_t kGroup = 32;

    InterleavedScanner(const ScanRequest& request, int64_t capacity)
        : request_(request),
          capacity_(capacity),
          sections_(request.layout.pairs(), request.layout.M <= kFewSubspaces ? request.layout.pairs() : kSectionPairs),
          single_(request, capacity) {}

    void scan(int64_t first_query, int64_t count, int64_t first_block, int64_t end_block, SharedTopK* results) {
        // Few queries do not repay the building of interleaved tables.
        if (count < kLeastQueries) {
            for (int64_t q = 0; q < count; ++q) single_.scan(first_query + q, 1, first_block, end_block, results + q);
        } else if (count <= 8) {
            scan_lanes<8>(first_query, count, first_block, end_block, results);
        } else if (count <= 16) {
            scan_lanes<16>(first_query, count, first_block, end_block, results);
        } else {
            scan_lanes<32>(first_query, count, first_block, end_block, results);
        }
    }

  private:
    static constexpr int64_t kLeastQueries = 6;
    static constexpr int64_t kTileBlocks = 16;
    static constexpr int64_t kTileRows = kTileBlocks * kBlockRows;
    static constexpr int64_t kFewSubspaces = 32;  // one section: its sum, saturated at 255, is beyond any limit
    static constexpr int64_t kSectionPairs = 8;
    static constexpr double kSaturation = 1.5;  // sections saturate at so many times their share of the limit
    static constexpr double kRescale = 0.95;
    static constexpr int64_t kOpening = 1024;  // blocks
    static constexpr int kMostUnits = 32767;

    // Units of the limit. In one section one less than 254, for rounding: see BoundScale::limit_units.
    double units() const {
        return sections_.count == 1 ? 253 : 255 * static_cast<double>(sections_.count) / kSaturation;
    }

    struct Query {
        const float* table;
        Buffer<float> least;  // of each sub-space
        BoundScale scale;
        bool bounded;  // whether the tables, as they are now, discard anything
        TopK best;
    };

    // Rows whose sums are kept.
    struct KeptTile {
        const Chunk* chunk;
        int64_t first_block;
        int64_t rows;
        const uint16_t* sums;
    };

    // A row of the tile that remains for some queries.
    struct Survivor {
        int32_t row;
        uint32_t queries;
    };

    template <int kQueries>
    void scan_lanes(int64_t first_query, int64_t count, int64_t first_block, int64_t end_block, SharedTopK* results) {
        count_ = count;
        for (int64_t q = 0; q < count; ++q) prepare(q, first_query + q, first_block, end_block, results[q]);
        bytes_.resize(static_cast<size_t>(2 * request_.layout.pairs() * 256 * kQueries));
        sums_.resize(static_cast<size_t>(kTileRows * kQueries));
        if (sections_.count > 1) wide_sums_.resize(static_cast<size_t>(kTileRows * kQueries));
        build_tables<kQueries>();
        const int64_t opened = open<kQueries>({first_block, end_block});
        share_limits(results);
        if (opened < end_block) build_tables<kQueries>();
        // Limits fall ever more slowly: tables are looked at when half as many more rows were seen.
        int64_t seen = opened - first_block, next_look = seen + seen / 2;
        visit_span(request_, opened, end_block, [&](const Piece& piece) {
            for (int64_t begin = piece.first_block; begin < piece.end_block; begin += kTileBlocks) {
                const int64_t end = std::min(begin + kTileBlocks, piece.end_block);
                scan_tile<kQueries>(*piece.chunk, begin, end);
                seen += end - begin;
                if (seen < next_look) continue;
                next_look = seen + seen / 2 + 1;
                if (4 * share_limits(results) > count) build_tables<kQueries>();
            }
        });
        for (int64_t q = 0; q < count; ++q) results[q].merge(queries_[q].best);
    }

    // Gives our limits to the other threads and takes theirs. Returns for how many queries tables made anew would bound
    // better.
    int64_t share_limits(SharedTopK* results) {
        int64_t outdated = 0;
        for (int64_t q = 0; q < count_; ++q) {
            TopK& best = queries_[q].best;
            best.lower_limit(results[q].limit());
            if (best.full()) results[q].lower_limit(best.limit());
            outdated += queries_[q].scale.outdated(best.limit(), kRescale);
        }
        return outdated;
    }

    // What Opening does for one query: keeps the sums of the span's first rows and offers those that look nearest, so
    // that few of the others are within the limit. Returns the block after them.
    template <int kQueries>
    int64_t open(BlockSpan span) {
        const int64_t blocks = std::min(kOpening, span.count());
        keep_sums<kQueries>({span.first, span.first + blocks});
        alignas(32) uint16_t cuts[kQueries], limits[kQueries] = {};
        find_cuts<kQueries>(blocks * kBlockRows, capacity_ + capacity_ / 2 + 8, cuts);
        offer_kept<kQueries>(nullptr, cuts);
        for (int64_t q = 0; q < count_; ++q) {
            const Query& query = queries_[q];
            const int lane = QueryLanes<kQueries>::lane_of(static_cast<int>(q));
            limits[lane] = static_cast<uint16_t>(query.bounded ? query.scale.units_of(query.best.limit()) : kMostUnits);
        }
        offer_kept<kQueries>(cuts, limits);
        return span.first + blocks;
    }

    template <int kQueries>
    void keep_sums(BlockSpan span) {
        kept_.clear();
        kept_sums_.resize(static_cast<size_t>(span.count() * kBlockRows * kQueries));
        uint16_t* sums = kept_sums_.data();
        visit_span(request_, span.first, span.end, [&](const Piece& piece) {
            for (int64_t begin = piece.first_block; begin < piece.end_block; begin += kTileBlocks) {
                const int64_t end = std::min(begin + kTileBlocks, piece.end_block), rows = (end - begin) * kBlockRows;
                sum_tile<kQueries>(*piece.chunk, begin, end, sums);
                kept_.push_back({piece.chunk, begin, rows, sums});
                sums += rows * kQueries;
            }
        });
    }

    // For each lane about the least sum, up to the limit's, that `wanted` kept rows do not exceed, judged by a quarter
    // of the rows.
    template <int kQueries>
    void find_cuts(int64_t rows, int64_t wanted, uint16_t* cuts) const {
        constexpr int64_t kStride = 4;
        const int most = queries_[0].scale.limit_units();
        int low[kQueries] = {}, high[kQueries];
        std::fill(high, high + kQueries, most);
        for (int width = most; width > 0; width /= 2) {
            for (int i = 0; i < kQueries; ++i) cuts[i] = static_cast<uint16_t>((low[i] + high[i]) / 2);
            uint16_t within[kQueries] = {};
            for (int64_t row = 0; row < rows; row += kStride) {
                const uint16_t* sums = kept_sums_.data() + row * kQueries;
                for (int i = 0; i < kQueries; ++i) within[i] = static_cast<uint16_t>(within[i] + (sums[i] <= cuts[i]));
            }
            for (int i = 0; i < kQueries; ++i) {
                if (kStride * within[i] >= wanted) {
                    high[i] = cuts[i];
                } else {
                    low[i] = std::min(cuts[i] + 1, high[i]);
                }
            }
        }
        for (int i = 0; i < kQueries; ++i) cuts[i] = static_cast<uint16_t>(high[i]);
    }

    // Offers the kept rows whose sums are above `over` (without it: all) and within `limits`.
    template <int kQueries>
    void offer_kept(const uint16_t* over, const uint16_t* limits) {
        using Lanes = QueryLanes<kQueries>;
        for (const KeptTile& tile : kept_) {
            survivors_ = 0;
            for (int64_t row = 0; row < tile.rows; ++row) {
                const uint16_t* sums = tile.sums + row * kQueries;
                uint32_t within = Lanes::wide_within(sums, limits);
                if (over != nullptr) within &= ~Lanes::wide_within(sums, over);
                add_survivor(row, within);
            }
            offer_survivors(*tile.chunk, tile.first_block);
        }
    }

    void prepare(int64_t q, int64_t query, int64_t first_block, int64_t end_block, const SharedTopK& result) {
        Query& state = queries_[q];
        const int64_t M = request_.layout.M;
        state.table = request_.tables + query * M * 256;
        state.least.resize(static_cast<size_t>(M));
        double base = 0, magnitudes = 0;
        for (int64_t m = 0; m < M; ++m) {
            const float* entries = state.table + m * 256;
            // The new value comes first: _mm256_min_ps returns its second operand if one is NaN.
            __m256 least = _mm256_set1_ps(kInfinity);
            for (int64_t i = 0; i < 256; i += 8) least = _mm256_min_ps(_mm256_loadu_ps(entries + i), least);
            state.least[static_cast<size_t>(m)] = least_of(least);
            base += state.least[static_cast<size_t>(m)];
            magnitudes += std::fabs(static_cast<double>(state.least[static_cast<size_t>(m)]));
        }
        state.scale.prepare(base, magnitudes, M, units());
        state.best.reset(capacity_);
        state.best.lower_limit(result.limit());
        const Block8Terms terms(request_.layout, state.table);
        const int64_t wanted = std::max<int64_t>(4, capacity_ / kBlockRows + 1);
        if (end_block - first_block < 2 * wanted) return;  // to sum all of them takes no longer
        sample_.reset(capacity_);
        state.best.lower_limit(sampled_limit(request_, terms, {first_block, end_block}, wanted, sample_));
    }

    // bytes_[m][label][query], scaled to the limits as they are now. A query without a limit, or with tables that give
    // none, has zeros: no row is discarded. Lanes without a query have 255, so that no row remains.
    template <int kQueries>
    void build_tables() {
        const int64_t M = request_.layout.M;
        float scales[kGroup];
        for (int64_t q = 0; q < count_; ++q) {
            Query& state = queries_[q];
            state.bounded = state.scale.usable() && state.best.limit() < kInfinity;
            if (state.bounded) state.scale.set_limit(state.best.limit());
            scales[q] = state.bounded ? state.scale.scale() : 0.0f;
        }
        constexpr int kQuerySteps = kQueries < 16 ? 1 : kQueries / 16;
        for (int64_t m = 0; m < M; ++m) {
            uint8_t* tables = bytes_.data() + m * 256 * kQueries;
            for (int step = 0; step < kQuerySteps; ++step)
                for (int64_t label = 0; label < 256; label += 32) {
                    alignas(32) uint8_t by_query[16][32];
                    for (int i = 0; i < 16; ++i) {
                        const int64_t q = 16 * step + i;
                        if (q >= count_) {
                            std::memset(by_query[i], 255, 32);
                        } else if (scales[q] == 0.0f) {
                            std::memset(by_query[i], 0, 32);
                        } else {
                            quantize_above(queries_[q].table + m * 256 + label,
                                           queries_[q].least[static_cast<size_t>(m)], scales[q], by_query[i]);
                        }
                    }
                    for (int half = 0; half < 2; ++half) {
                        __m128i rows[16];
                        for (int i = 0; i < 16; ++i)
                            rows[i] = _mm_load_si128(reinterpret_cast<const __m128i*>(by_query[i] + 16 * half));
                        transpose_16x16(rows);
                        uint8_t* out = tables + (label + 16 * half) * kQueries + 16 * step;
                        for (int i = 0; i < 16; ++i) {
                            if constexpr (kQueries == 8) {
                                _mm_storel_epi64(reinterpret_cast<__m128i*>(out + i * kQueries), rows[i]);
                            } else {
                                _mm_store_si128(reinterpret_cast<__m128i*>(out + i * kQueries), rows[i]);
                            }
                        }
                    }
                }
        }
        // The sub-space that pads an odd M adds nothing, whatever its codes.
        if (M % 2) std::memset(bytes_.data() + M * 256 * kQueries, 0, 256 * kQueries);
    }

    // 32 bytes floor((entries - least) * scale), at most 255.
    static void quantize_above(const float* entries, float least, float scale, uint8_t* bytes) {
        alignas(32) float above[32];
        for (int i = 0; i < 32; i += 8)
            _mm256_store_ps(above + i, _mm256_sub_ps(_mm256_loadu_ps(entries + i), _mm256_set1_ps(least)));
        quantize_down(above, 32, scale, bytes);
    }

    template <int kQueries>
    void scan_tile(const Chunk& chunk, int64_t begin, int64_t end) {
        using Lanes = QueryLanes<kQueries>;
        const int64_t blocks = end - begin, rows = blocks * kBlockRows;
        const int limit = queries_[0].scale.limit_units();  // the same for all
        survivors_ = 0;
        if (sections_.count == 1) {
            const uint8_t* codes = chunk.packed + begin * request_.layout.block_bytes();
            add_section<kQueries>(codes, 0, sections_.ends[0], blocks);
            const auto byte_limit = Lanes::bytes(limit);
            for (int64_t row = 0; row < rows; ++row)
                add_survivor(row, Lanes::within(Lanes::load(sums_.data() + row * kQueries), byte_limit));
        } else {
            sum_tile<kQueries>(chunk, begin, end, wide_sums_.data());
            alignas(32) uint16_t limits[kQueries];
            std::fill(limits, limits + kQueries, static_cast<uint16_t>(limit));
            for (int64_t row = 0; row < rows; ++row)
                add_survivor(row, Lanes::wide_within(wide_sums_.data() + row * kQueries, limits));
        }
        offer_survivors(chunk, begin);
    }

    // The sums of a tile's rows in 16 bits.
    template <int kQueries>
    void sum_tile(const Chunk& chunk, int64_t begin, int64_t end, uint16_t* wide_sums) {
        using Lanes = QueryLanes<kQueries>;
        const int64_t rows = (end - begin) * kBlockRows;
        const uint8_t* codes = chunk.packed + begin * request_.layout.block_bytes();
        int64_t pair = 0;
        for (int64_t s = 0; s < sections_.count; ++s) {
            add_section<kQueries>(codes, pair, sections_.ends[s], end - begin);
            pair = sections_.ends[s];
            for (int64_t row = 0; row < rows; ++row)
                Lanes::wide_add(wide_sums + row * kQueries, Lanes::load(sums_.data() + row * kQueries), s == 0);
        }
    }

    // The sums of the tile's rows over pairs first .. end - 1. As many pairs at a time as have 16 KiB of tables.
    template <int kQueries>
    void add_section(const uint8_t* codes, int64_t first, int64_t end, int64_t blocks) {
        constexpr int64_t kPairs = 32 / kQueries;
        int64_t pair = first;
        if (pair + kPairs <= end) {
            add_pairs<kQueries, kPairs, true>(codes, pair, blocks);
            pair += kPairs;
        } else {
            add_pairs<kQueries, 1, true>(codes, pair, blocks);
            pair += 1;
        }
        for (; pair + kPairs <= end; pair += kPairs) add_pairs<kQueries, kPairs, false>(codes, pair, blocks);
        for (; pair < end; ++pair) add_pairs<kQueries, 1, false>(codes, pair, blocks);
    }

    // Adds the entries of kPairs pairs of sub-spaces to the sums of the tile's rows, or starts the sums with them.
    template <int kQueries, int64_t kPairs, bool kStart>
    void add_pairs(const uint8_t* codes, int64_t pair, int64_t blocks) {
        using Lanes = QueryLanes<kQueries>;
        const int64_t block_bytes = request_.layout.block_bytes();
        const uint8_t* tables = bytes_.data() + pair * 2 * 256 * kQueries;
        uint8_t* sums = sums_.data();
        for (int64_t block = 0; block < blocks; ++block) {
            const uint8_t* block_codes = codes + block * block_bytes + pair * 64;
            // The same codes of the next tile: at this stride the hardware does not fetch them ahead.
            prefetch(block_codes, kTileBlocks * block_bytes, kPairs * 64);
            for (int64_t half = 0; half < 2; ++half, block_codes += 32) {
                for (int64_t v = 0; v < 16; ++v, sums += kQueries) {
                    auto sum = Lanes::load(kStart ? tables + int64_t{block_codes[v]} * kQueries : sums);
                    for (int64_t p = 0; p < kPairs; ++p) {
                        const uint8_t* pair_codes = block_codes + p * 64 + v;
                        const uint8_t* pair_tables = tables + p * 512 * kQueries;
                        if (!kStart || p > 0)
                            sum = Lanes::add(sum, Lanes::load(pair_tables + int64_t{pair_codes[0]} * kQueries));
                        sum = Lanes::add(sum, Lanes::load(pair_tables + (256 + int64_t{pair_codes[16]}) * kQueries));
                    }
                    Lanes::store(sums, sum);
                }
            }
        }
    }

    // The place is written in any case: a branch would be taken at random.
    void add_survivor(int64_t row, uint32_t queries) {
        tile_survivors_[survivors_] = {static_cast<int32_t>(row), queries};
        survivors_ += queries != 0;
    }

    void offer_survivors(const Chunk& chunk, int64_t first_block) {
        const int64_t block_bytes = request_.layout.block_bytes();
        for (int64_t i = 0; i < survivors_; ++i) {
            const int64_t block = first_block + tile_survivors_[i].row / kBlockRows;
            const int lane = static_cast<int>(tile_survivors_[i].row % kBlockRows);
            if (!(live_lanes(chunk, block) >> lane & 1)) continue;
            const uint8_t* codes = chunk.packed + block * block_bytes;
            for (uint32_t queries = tile_survivors_[i].queries; queries; queries &= queries - 1) {
                Query& state = queries_[__builtin_ctz(queries)];
                const Block8Terms terms(request_.layout, state.table);
                state.best.offer(terms.distance(codes, lane), chunk.first_row + block * kBlockRows + lane);
            }
        }
    }

    const ScanRequest& request_;
    int64_t capacity_;
    Sections sections_;
    PrefixScanner<InstructionSet> single_;
    int64_t count_ = 0;
    Query queries_[kGroup];
    Buffer<uint8_t> bytes_, sums_;
    Buffer<uint16_t> wide_sums_, kept_sums_;
    std::vector<KeptTile> kept_;
    int64_t survivors_ = 0;
    Survivor tile_survivors_[kTileRows];
    TopK sample_;
};

}  // namespace
}  // namespace pqstore
