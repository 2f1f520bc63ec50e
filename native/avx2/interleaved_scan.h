// The scan of 8-bit codes for many queries: one byte of code looks up the entries of up to 32 queries at once.
//
// The table of a sub-space holds, for each label, one byte a query, scaled to the query's limit and rounded down. Added with
// saturation, 255 means: beyond the limit. A tile of rows meets one pair of sub-spaces after the other, so that the pair's
// tables and the tile's sums stay in the first-level cache. Rows that remain for a query get their exact sum.
#pragma once

#include <immintrin.h>

#include <cstring>

#include "../common/bound_scale.h"
#include "../common/code_terms.h"
#include "../common/first_limit.h"
#include "../common/scan_driver.h"
#include "prefix_scan.h"

namespace pqstore {
namespace {

// Bytes of kQueries queries in one register.
template <int kQueries>
struct QueryLanes;

template <>
struct QueryLanes<32> {
    using Register = __m256i;
    static Register load(const uint8_t* p) { return _mm256_load_si256(reinterpret_cast<const __m256i*>(p)); }
    static void store(uint8_t* p, Register r) { _mm256_store_si256(reinterpret_cast<__m256i*>(p), r); }
    static Register add(Register a, Register b) { return _mm256_adds_epu8(a, b); }
    static uint32_t below_255(Register r) {
        return ~static_cast<uint32_t>(_mm256_movemask_epi8(_mm256_cmpeq_epi8(r, _mm256_set1_epi8(-1))));
    }
};

template <>
struct QueryLanes<16> {
    using Register = __m128i;
    static Register load(const uint8_t* p) { return _mm_load_si128(reinterpret_cast<const __m128i*>(p)); }
    static void store(uint8_t* p, Register r) { _mm_store_si128(reinterpret_cast<__m128i*>(p), r); }
    static Register add(Register a, Register b) { return _mm_adds_epu8(a, b); }
    static uint32_t below_255(Register r) {
        return ~static_cast<uint32_t>(_mm_movemask_epi8(_mm_cmpeq_epi8(r, _mm_set1_epi8(-1)))) & 0xffff;
    }
};

template <>
struct QueryLanes<8> {
    using Register = __m128i;
    static Register load(const uint8_t* p) { return _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)); }
    static void store(uint8_t* p, Register r) { _mm_storel_epi64(reinterpret_cast<__m128i*>(p), r); }
    static Register add(Register a, Register b) { return _mm_adds_epu8(a, b); }
    static uint32_t below_255(Register r) {
        return ~static_cast<uint32_t>(_mm_movemask_epi8(_mm_cmpeq_epi8(r, _mm_set1_epi8(-1)))) & 0xff;
    }
};

// Rows of 16 bytes to columns.
inline void transpose_16x16(__m128i rows[16]) {
    __m128i other[16];
    // Four times: row i and row i + 8 become rows 2 i and 2 i + 1, byte by byte. That turns index bits of rows into index
    // bits of columns, one a time.
    for (int round = 0; round < 2; ++round) {
        for (int i = 0; i < 8; ++i) {
            other[2 * i] = _mm_unpacklo_epi8(rows[i], rows[i + 8]);
            other[2 * i + 1] = _mm_unpackhi_epi8(rows[i], rows[i + 8]);
        }
        for (int i = 0; i < 8; ++i) {
            rows[2 * i] = _mm_unpacklo_epi8(other[i], other[i + 8]);
            rows[2 * i + 1] = _mm_unpackhi_epi8(other[i], other[i + 8]);
        }
    }
}

class InterleavedScanner {
  public:
    static constexpr int64_t kGroup = 32;

    InterleavedScanner(const ScanRequest& request, int64_t capacity)
        : request_(request), capacity_(capacity), single_(request, capacity) {}

    void scan(int64_t first_query, int64_t count, int64_t first_block, int64_t end_block, SharedTopK* results) {
        // Few queries do not repay the building of interleaved tables.
        const int64_t least = request_.layout.M <= 32 ? 4 : 6;
        if (count < least) {
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
    static constexpr int64_t kTileBlocks = 8;
    static constexpr int64_t kTileRows = kTileBlocks * kBlockRows;
    static constexpr double kUnits = 253;  // one more for rounding: a row within the limit stays below 255
    static constexpr double kRescale = 0.95;

    struct Query {
        const float* table;
        Buffer<float> least;  // of each sub-space
        BoundScale scale;
        TopK best;
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
        build_tables<kQueries>();
        // Limits fall fast at first and ever more slowly: tables are looked at when the rows seen have doubled.
        int64_t seen = 0, next_look = 2 * kTileBlocks;
        visit_span(request_, first_block, end_block, [&](const Piece& piece) {
            for (int64_t begin = piece.first_block; begin < piece.end_block; begin += kTileBlocks) {
                const int64_t end = std::min(begin + kTileBlocks, piece.end_block);
                scan_tile<kQueries>(*piece.chunk, begin, end);
                seen += end - begin;
                if (seen < next_look) continue;
                next_look = 2 * seen;
                int64_t outdated = 0;
                for (int64_t q = 0; q < count; ++q) {
                    TopK& best = queries_[q].best;
                    best.lower_limit(results[q].limit());
                    if (best.full()) results[q].lower_limit(best.limit());
                    outdated += queries_[q].scale.outdated(best.limit(), kRescale);
                }
                if (4 * outdated > count) build_tables<kQueries>();
            }
        });
        for (int64_t q = 0; q < count; ++q) results[q].merge(queries_[q].best);
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
        state.scale.prepare(base, magnitudes, M, kUnits);
        state.best.reset(capacity_);
        state.best.lower_limit(result.limit());
        const Block8Terms terms(request_.layout, state.table);
        state.best.lower_limit(first_limit(request_, terms, first_block, end_block, capacity_, sample_));
    }

    // bytes_[m][label][query], scaled to the limits as they are now. A query without a limit, or with tables that give none,
    // has zeros: no row is discarded. Lanes without a query have 255: no row remains.
    template <int kQueries>
    void build_tables() {
        const int64_t M = request_.layout.M;
        float scales[kGroup];
        for (int64_t q = 0; q < count_; ++q) {
            Query& state = queries_[q];
            const bool bounded = state.scale.usable() && state.best.limit() < kInfinity;
            if (bounded) state.scale.set_limit(state.best.limit());
            scales[q] = bounded ? state.scale.scale() : 0.0f;
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
                            quantize_above(queries_[q].table + m * 256 + label, queries_[q].least[static_cast<size_t>(m)], scales[q],
                                           by_query[i]);
                        }
                    }
                    for (int half = 0; half < 2; ++half) {
                        __m128i rows[16];
                        for (int i = 0; i < 16; ++i) rows[i] = _mm_load_si128(reinterpret_cast<const __m128i*>(by_query[i] + 16 * half));
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
        const int64_t pairs = request_.layout.pairs(), block_bytes = request_.layout.block_bytes();
        const uint8_t* codes = chunk.packed + begin * block_bytes;
        survivors_ = 0;
        // As many pairs of sub-spaces at a time as have 16 KiB of tables.
        constexpr int64_t kPairs = 32 / kQueries;
        int64_t pair = 0;
        for (; pair + kPairs < pairs; pair += kPairs)
            pair == 0 ? add_pairs<kQueries, kPairs, true, false>(codes, pair, end - begin)
                      : add_pairs<kQueries, kPairs, false, false>(codes, pair, end - begin);
        for (; pair + 1 < pairs; ++pair)
            pair == 0 ? add_pairs<kQueries, 1, true, false>(codes, pair, end - begin)
                      : add_pairs<kQueries, 1, false, false>(codes, pair, end - begin);
        pair == 0 ? add_pairs<kQueries, 1, true, true>(codes, pair, end - begin)
                  : add_pairs<kQueries, 1, false, true>(codes, pair, end - begin);
        offer_survivors(chunk, begin);
    }

    // Adds the entries of kPairs pairs of sub-spaces to the sums of the tile's rows; with the last pair, notes survivors.
    template <int kQueries, int64_t kPairs, bool kFirst, bool kLast>
    void add_pairs(const uint8_t* codes, int64_t pair, int64_t blocks) {
        using Lanes = QueryLanes<kQueries>;
        const int64_t block_bytes = request_.layout.block_bytes();
        const uint8_t* tables = bytes_.data() + pair * 2 * 256 * kQueries;
        uint8_t* sums = sums_.data();
        for (int64_t block = 0; block < blocks; ++block) {
            const uint8_t* block_codes = codes + block * block_bytes + pair * 64;
            for (int64_t half = 0; half < 2; ++half, block_codes += 32) {
                for (int64_t v = 0; v < 16; ++v, sums += kQueries) {
                    typename Lanes::Register sum = kFirst ? Lanes::load(tables + int64_t{block_codes[v]} * kQueries) : Lanes::load(sums);
                    for (int64_t p = 0; p < kPairs; ++p) {
                        const uint8_t* pair_codes = block_codes + p * 64 + v;
                        const uint8_t* pair_tables = tables + p * 512 * kQueries;
                        if (!kFirst || p > 0) sum = Lanes::add(sum, Lanes::load(pair_tables + int64_t{pair_codes[0]} * kQueries));
                        sum = Lanes::add(sum, Lanes::load(pair_tables + (256 + int64_t{pair_codes[16]}) * kQueries));
                    }
                    if (kLast) {
                        const uint32_t within = Lanes::below_255(sum);
                        tile_survivors_[survivors_] = {static_cast<int32_t>(block * kBlockRows + half * 16 + v), within};
                        survivors_ += within != 0;
                    } else {
                        Lanes::store(sums, sum);
                    }
                }
            }
        }
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
    PrefixScanner single_;
    int64_t count_ = 0;
    Query queries_[kGroup];
    Buffer<uint8_t> bytes_, sums_;
    int64_t survivors_ = 0;
    Survivor tile_survivors_[kTileRows];
    TopK sample_;
};

}  // namespace
}  // namespace pqstore
