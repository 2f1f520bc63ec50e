// The scan for several queries, of 8-bit and of 4-bit codes.
//
// Tiles of rows are made ready for all queries, which meet them a few at a time. In the first tile the rows that look
// nearest are summed first; they tell the distance within which the nearest of all rows very likely are. What is beyond
// it is left out from then on, and at the end each query is asked whether that was right: if not, it is scanned alone.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <type_traits>

#include "avx512/batch_bound.h"
#include "avx512/bits_rule.h"
#include "avx512/byte_tables.h"
#include "avx512/code_tile.h"
#include "avx512/simd.h"
#include "avx512/single_scan.h"
#include "common/bound_scale.h"
#include "common/nibble_scan.h"
#include "common/row_sum.h"
#include "common/scan_driver.h"
#include "services/caches.h"

namespace pqstore {
namespace {

constexpr int64_t kLeastQueriesOfBatch = 3;  // fewer do not repay the making of tiles

template <typename Codes>
class BatchScanner {
  public:
    static constexpr int64_t kGroup = 128;

    // How many queries are scanned at a time: float tables of more would leave the caches between two tiles.
    static int64_t group_of(const Layout& layout) {
        const int64_t table_bytes = layout.M * Codes::kTableSize * static_cast<int64_t>(sizeof(float));
        return std::clamp<int64_t>((2 << 20) / table_bytes / kTogether * kTogether, 32, kGroup);
    }

    BatchScanner(const ScanRequest& request, int64_t capacity)
        : request_(request),
          capacity_(capacity),
          M_(2 * request.layout.pairs()),
          group_(std::min(request.queries, group_of(request.layout))),
          shape_{M_, BoundShape::parts_of(M_), {8, 0}},
          tile_(request.layout, group_ * capacity >= kRepayTurning),
          query_bytes_((M_ * Codes::kTableSize + 63) / 64 * 64),
          bytes_(static_cast<size_t>(group_ * query_bytes_)),
          least_(static_cast<size_t>(group_ * M_)),
          sums_(static_cast<size_t>(kTogether * tile_.most_blocks() * kBlockRows)),
          put_off_codes_(static_cast<size_t>(tile_.turned() ? group_ * kMostPutOff * tile_.row_bytes() : 0)),
          put_off_rows_(static_cast<size_t>(tile_.turned() ? group_ * kMostPutOff : 0)) {}

    void scan(int64_t first_query, int64_t count, int64_t first_block, int64_t end_block, SharedTopK* results) {
        if (count < kLeastQueriesOfBatch) {
            for (int64_t q = 0; q < count; ++q) scan_alone(first_query + q, first_block, end_block, results + q);
            return;
        }
        for (int64_t q = 0; q < count; ++q) start(q, first_query + q, results[q].limit());
        const auto blocks = static_cast<double>(end_block - first_block);
        int64_t seen = 0;
        visit_span(request_, first_block, end_block, [&](const Piece& piece) {
            for (int64_t begin = piece.first_block; begin < piece.end_block; begin += tile_.most_blocks()) {
                const int64_t end = std::min(begin + tile_.most_blocks(), piece.end_block);
                tile_.fill({piece.chunk, begin, end});
                const bool opening = seen == 0;
                seen += end - begin;
                share_ = static_cast<double>(seen) / blocks;
                if (opening) {
                    open(count, blocks * kBlockRows);
                } else {
                    bound(count);
                }
                for (int64_t q = 0; q < count; ++q) share_limit(queries_[q], results[q]);
            }
        });
        for (int64_t q = 0; q < count; ++q) {
            Query& query = queries_[q];
            sum_put_off(query);
            if (right(query, results[q])) {
                results[q].merge(query.best);
            } else {
                scan_alone(first_query + q, first_block, end_block, results + q);
            }
        }
    }

  private:
    using Single = std::conditional_t<Codes::kTableSize == 256, SingleScanner, NibbleScanner<NibbleInstructions>>;
    using Terms = std::conditional_t<Codes::kTableSize == 256, Block8Terms, Block4Terms>;

    static constexpr int64_t kRepayTurning = 1500;  // nearest rows, of all queries together
    static constexpr int64_t kTogether = 4;         // queries that share a pass over a tile
    static constexpr int64_t kMostPutOff = 256;     // rows of a query
    static constexpr int64_t kSampleGroups = 16;
    static constexpr double kRescale = 0.95;
    static constexpr int kMostSum = 255;
    static constexpr double kSigmas = 2.5;  // with these a guess is wrong for one query of some hundreds
    static constexpr BoundCosts kCosts{1.0, 3.0, 3.0};

    struct Query {
        const float* table;
        float* least;
        uint8_t* bytes;
        BoundScale scale;
        double mean;
        bool bounded;     // whether the bytes discard anything
        float guess;      // the least distance that rows were left out by without proof
        int64_t put_off;  // rows whose exact sums are still to be made
        uint8_t* codes;   // of these
        int64_t* rows;
        TopK best;
    };

    // Rows of a group that are within the limit.
    struct Kept {
        uint64_t rows;
        int64_t group;
    };

    void start(int64_t q, int64_t query, float limit) {
        Query& state = queries_[q];
        state.table = request_.tables + query * request_.layout.M * Codes::kTableSize;
        state.least = least_.data() + q * M_;
        state.bytes = bytes_.data() + q * query_bytes_;
        state.codes = tile_.turned() ? put_off_codes_.data() + q * kMostPutOff * tile_.row_bytes() : nullptr;
        state.rows = tile_.turned() ? put_off_rows_.data() + q * kMostPutOff : nullptr;
        state.put_off = 0;
        state.guess = kInfinity;
        state.best.reset(capacity_);
        state.best.lower_limit(limit);
    }

    // Just before their first use, so that they are in the caches then.
    void look_at_tables(Query& query) {
        const TableSums sums = TableSums::of<Codes::kTableSize>(query.table, request_.layout.M, query.least);
        query.scale.prepare(sums.base, sums.magnitudes, request_.layout.M, shape_.units());
        query.mean = sums.mean;
    }

    // Without a limit, or with tables that give none, all bytes are zero: no row is discarded.
    void rescale(Query& query, float limit) {
        const int64_t M = request_.layout.M;
        query.bounded = query.scale.usable() && limit < kInfinity;
        if (!query.bounded) {
            std::memset(query.bytes, 0, static_cast<size_t>(M_ * Codes::kTableSize));
            return;
        }
        query.scale.set_limit(limit);
        if constexpr (Codes::kTableSize == 256) {
            quantize_tables<TableOrder::kPrefix>(query.table, M, query.least, shape_.bits, query.scale.scale(),
                                                 query.bytes);
        } else {
            quantize_nibbles(query.table, M, query.least, query.scale.scale(), query.bytes);
        }
    }

    // Limits.

    // How many rows of the part that was seen are to be within a limit, so that it very likely holds the nearest of
    // all.
    int64_t rank() const {
        const auto k = static_cast<double>(capacity_);
        const double expected = k * share_, sigma = std::sqrt(expected * (1 - share_));
        return share_ >= 1 ? capacity_ : std::min(capacity_, static_cast<int64_t>(expected + kSigmas * sigma + 2));
    }

    static void guess(Query& query, float limit) {
        query.guess = std::min(query.guess, limit);
        query.best.lower_limit(limit);
    }

    // The farthest of the k nearest so far: a proof.
    static float farthest(const Query& query) { return query.best.farthest(); }

    // Gives what is proven to the other threads and takes theirs.
    static void share_limit(Query& query, SharedTopK& result) {
        result.lower_limit(farthest(query));
        query.best.lower_limit(result.limit());
    }

    static bool right(const Query& query, const SharedTopK& result) {
        return query.guess == kInfinity || std::min(farthest(query), result.limit()) <= query.guess;
    }

    void scan_alone(int64_t query, int64_t first_block, int64_t end_block, SharedTopK* result) {
        if (!single_) single_.reset(new Single(request_, capacity_));
        single_->scan(query, 1, first_block, end_block, result);
    }

    // The first tile.

    // `rows`: of the whole scan.
    void open(int64_t count, double rows) {
        int64_t within = 0;
        for (int64_t first = 0; first < count; first += kTogether) {
            const int64_t some = std::min(kTogether, count - first);
            for (int64_t q = first; q < first + some; ++q) {
                look_at_tables(queries_[q]);
                rescale(queries_[q], about(queries_[q]));
            }
            sum_tile(first, some, 1);
            for (int64_t i = 0; i < some; ++i) within += open_one(first + i, sums_of(i));
            if (Codes::kTableSize == 256 && first == 0 && !bits_chosen_) {
                bits_chosen_ = true;
                choose_bits(static_cast<double>(within) / static_cast<double>(some), rows);
                for (int64_t q = 0; q < some; ++q) rescale(queries_[q], queries_[q].best.limit());
            }
        }
    }

    // `within`: rows of the tile within the bounds of a query. Bits are chosen once: queries are much alike.
    void choose_bits(double within, double rows) {
        const auto nearest = static_cast<double>(rank());
        shape_.bits = best_bits(within / share_, nearest / share_, rows, M_, 6, kCosts);
    }

    // About the limit of a query: where those before had it between the least and the mean distance; of the first one,
    // by a sample of the tile.
    float about(Query& query) {
        if (!query.scale.usable() || !std::isfinite(query.mean)) return query.best.limit();
        const double base = query.scale.base(), width = query.mean - base;
        // One part has no room beyond its units, and limits differ.
        const double room = shape_.parts == 1 ? 1.5 : 1;
        if (ratio_ > 0) return std::min(query.best.limit(), static_cast<float>(base + width * ratio_ * room));
        const int64_t step = tile_.groups() / kSampleGroups;
        const auto mean = static_cast<float>(query.mean);
        if (step < 4) return mean;
        rescale(query, mean);
        sum_tile(&query - queries_, 1, step);
        const double sampled = static_cast<double>(kSampleGroups) / static_cast<double>(tile_.groups());
        const auto wanted = std::max<int64_t>(1, std::llround(static_cast<double>(capacity_) * share_ * sampled));
        sample_.reset(wanted);
        const int cut = cut_of(sums_.data(), step, wanted + wanted / 2 + 4);
        sum_within(query, sums_.data(), step, -1, cut, [&](float distance, int64_t) { sample_.offer(distance, 0); });
        return sample_.full() ? static_cast<float>(base + (sample_.limit() - base) * room) : mean;
    }

    // Offers the rows of the tile that can be among the nearest. Returns how many are within the bounds.
    int64_t open_one(int64_t q, const uint8_t* sums) {
        Query& query = queries_[q];
        const auto offer = [&](float distance, int64_t row) {
            sample_.offer(distance, row);
            query.best.offer(distance, row);
        };
        const int64_t wanted = rank();
        sample_.reset(wanted);
        if (!query.bounded) {
            sum_within(query, sums, 1, -1, kMostSum, offer);
            rescale(query, query.best.limit());
            return 64 * tile_.groups();
        }
        int cut = cut_of(sums, 1, wanted + wanted / 8 + 1);
        if (cut == kMostSum) {
            sums = sum_again(q, static_cast<float>(query.mean));
            cut = cut_of(sums, 1, wanted + wanted / 8 + 1);
        }
        sum_within(query, sums, 1, -1, cut, offer);
        for (int64_t more = 2 * wanted + 2; !sample_.full() && cut < kMostSum; more *= 2) {  // some were dead
            const int next = cut_of(sums, 1, more);
            sum_within(query, sums, 1, cut, next, offer);
            cut = std::max(cut, next);
        }
        if (sample_.full()) guess(query, sample_.limit());
        int limit = sum_limit(query);
        if (limit == kMostSum && query.best.limit() < kInfinity) {
            // The units were too small: what is beyond them is cut off. All over again with those of the limit.
            const float known = query.best.limit();
            sums = sum_again(q, known);
            query.best.reset(capacity_);
            query.best.lower_limit(known);
            sample_.reset(wanted);
            cut = -1;
            limit = sum_limit(query);
        }
        sum_within(query, sums, 1, cut, limit, offer);
        if (sample_.full()) guess(query, sample_.limit());
        keep_ratio(query);
        const int64_t within = count_within(sums, 1, std::min(sum_limit(query), kMostSum - 1));
        rescale(query, query.best.limit());
        return within;
    }

    // The sum that no row within the limit exceeds.
    int sum_limit(const Query& query) const {
        if (!query.bounded || !(query.best.limit() < kInfinity)) return kMostSum;
        return shape_.byte_limit(query.scale.units_of(query.best.limit()));
    }

    // The sums of the tile in units of another limit, in place of the first query's.
    const uint8_t* sum_again(int64_t q, float limit) {
        rescale(queries_[q], limit);
        sum_tile(q, 1, 1);
        return sums_.data();
    }

    void keep_ratio(const Query& query) {
        const double width = query.mean - query.scale.base();
        if (!(width > 0) || !(query.best.limit() < kInfinity)) return;
        const double ratio = std::max((query.best.limit() - query.scale.base()) / width, 1e-6);
        ratio_ = ratio_ > 0 ? 0.8 * ratio_ + 0.2 * ratio : ratio;
    }

    uint8_t* sums_of(int64_t i) { return sums_.data() + i * tile_.most_blocks() * kBlockRows; }

    // Keeps the sums of every `step`-th group for queries q .. q + count - 1.
    void sum_tile(int64_t q, int64_t count, int64_t step) {
        with_constants<Codes>(shape_, [&](auto high, auto parts) {
            if (count == kTogether) return keep_sums<high.value, parts.value, kTogether>(q, step, sums_.data());
            for (int64_t i = 0; i < count; ++i) keep_sums<high.value, parts.value, 1>(q + i, step, sums_of(i));
        });
    }

    template <int kHigh, int kParts, int kQueries>
    [[gnu::noinline]] void keep_sums(int64_t q, int64_t step, uint8_t* kept) {
        const uint8_t* tables[kQueries];
        for (int i = 0; i < kQueries; ++i) tables[i] = queries_[q + i].bytes;
        sum_groups<Codes, kHigh, kParts>(
            shape_, tile_, step, tables, [&](int64_t group, const __m512i(&sums)[kQueries]) {
                for (int i = 0; i < kQueries; ++i)
                    store64(kept + i * tile_.most_blocks() * kBlockRows + 64 * group, sums[i]);
            });
    }

    int64_t count_within(const uint8_t* sums, int64_t step, int most) const {
        const __m512i limit = _mm512_set1_epi8(static_cast<char>(most));
        int64_t within = 0;
        for (int64_t group = 0; group < tile_.groups(); group += step)
            within += __builtin_popcountll(_mm512_cmple_epu8_mask(load64(sums + 64 * group), limit));
        return within;
    }

    // The least sum that `wanted` rows do not exceed, or kMostSum.
    int cut_of(const uint8_t* sums, int64_t step, int64_t wanted) const {
        int low = 0, high = kMostSum;
        while (low < high) {
            const int middle = (low + high) / 2;
            if (count_within(sums, step, middle) >= wanted) {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        return high;
    }

    // Calls offer(distance, row) for the rows of every `step`-th group with sums above `over` and within `most`.
    template <typename Offer>
    void sum_within(const Query& query, const uint8_t* sums, int64_t step, int over, int most, const Offer& offer) {
        const __m512i highest = _mm512_set1_epi8(static_cast<char>(most));
        const __m512i lowest = _mm512_set1_epi8(static_cast<char>(over));
        for (int64_t group = 0; group < tile_.groups(); group += step) {
            const __m512i of_group = load64(sums + 64 * group);
            uint64_t rows = _mm512_cmple_epu8_mask(of_group, highest);
            if (over >= 0) rows &= _mm512_cmpgt_epu8_mask(of_group, lowest);
            if (rows) sum_rows(query, {rows, group}, offer);
        }
    }

    // Exact sums.

    template <typename Offer>
    void sum_rows(const Query& query, const Kept& kept, const Offer& offer) {
        const Group group = tile_.group(kept.group);
        const Terms terms(request_.layout, query.table);
        for (uint64_t rows = kept.rows & group.live(); rows; rows &= rows - 1) {
            const int row = __builtin_ctzll(rows);
            const float distance = tile_.turned() ? distance_of(query, tile_.row(64 * kept.group + row))
                                                  : terms.distance(group.codes_of(row, terms.block_bytes), row & 31);
            offer(distance, group.number_of(row));
        }
    }

    float distance_of(const Query& query, const uint8_t* codes) const {
        return as_distance(row_sum<Codes::kTableSize>(query.table, codes, request_.layout.M));
    }

    // Many at a time: a query's tables come to the nearest caches once for all of them.
    void put_off(Query& query, const Kept& kept) {
        const Group group = tile_.group(kept.group);
        for (uint64_t rows = kept.rows & group.live(); rows; rows &= rows - 1) {
            const int row = __builtin_ctzll(rows);
            if (query.put_off == kMostPutOff) sum_put_off(query);
            std::memcpy(query.codes + query.put_off * tile_.row_bytes(), tile_.row(64 * kept.group + row),
                        static_cast<size_t>(tile_.row_bytes()));
            query.rows[query.put_off++] = group.number_of(row);
        }
    }

    void sum_put_off(Query& query) {
        for (int64_t i = 0; i < query.put_off; ++i)
            query.best.offer(distance_of(query, query.codes + i * tile_.row_bytes()), query.rows[i]);
        if (query.put_off > 0) tighten(query);
        query.put_off = 0;
    }

    // After exact sums: a limit for the rows that follow.
    void tighten(Query& query) {
        if (share_ >= 1) return;
        const int64_t wanted = rank();
        if (query.best.size() > wanted + wanted / 4) {
            sample_.reset(wanted);
            for (const Hit& hit : query.best) sample_.offer(hit.distance, hit.row);
            guess(query, sample_.limit());
        }
        const float limit = query.best.limit();
        if (query.bounded ? query.scale.outdated(limit, kRescale) : query.scale.usable() && limit < kInfinity)
            rescale(query, limit);
    }

    // The other tiles.

    void bound(int64_t count) {
        int64_t q = 0;
        if (table_bytes() * kTogether <= first_cache_)
            for (; q + kTogether <= count; q += kTogether) bound_some<kTogether>(q);
        for (; q + 2 <= count; q += 2) bound_some<2>(q);
        for (; q < count; ++q) bound_some<1>(q);
    }

    template <int kQueries>
    void bound_some(int64_t q) {
        int64_t counts[kQueries];
        with_constants<Codes>(shape_, [&](auto high, auto parts) { keep_groups<high.value, parts.value>(q, counts); });
        for (int i = 0; i < kQueries; ++i) {
            Query& query = queries_[q + i];
            for (const Kept* kept = kept_[i]; kept != kept_[i] + counts[i]; ++kept) {
                if (tile_.turned()) {
                    put_off(query, *kept);
                } else {
                    sum_rows(query, *kept, [&](float distance, int64_t row) { query.best.offer(distance, row); });
                }
            }
            if (!tile_.turned() && counts[i] > 0) tighten(query);
        }
    }

    // Of one query.
    int64_t table_bytes() const { return Codes::kTableSize == 256 ? shape_.bits.offset(M_) : 16 * M_; }

    // By itself, so that its loops have all registers.
    template <int kHigh, int kParts, int kQueries>
    [[gnu::noinline]] void keep_groups(int64_t q, int64_t (&counts)[kQueries]) {
        const uint8_t* tables[kQueries];
        __m512i limits[kQueries];
        int64_t kept[kQueries] = {};
        for (int i = 0; i < kQueries; ++i) {
            tables[i] = queries_[q + i].bytes;
            const Query& query = queries_[q + i];
            const int limit = query.bounded ? shape_.byte_limit(query.scale.limit_units()) : kMostSum;
            limits[i] = _mm512_set1_epi8(static_cast<char>(limit));
        }
        sum_groups<Codes, kHigh, kParts>(shape_, tile_, 1, tables,
                                         [&](int64_t group, const __m512i(&sums)[kQueries])
                                             __attribute__((always_inline)) {
                                                 for (int i = 0; i < kQueries; ++i) {
                                                     // Written in any case: a branch would be taken at random.
                                                     const uint64_t rows = _mm512_cmple_epu8_mask(sums[i], limits[i]);
                                                     kept_[i][kept[i]] = {rows, group};
                                                     kept[i] += rows != 0;
                                                 }
                                             });
        std::copy(kept, kept + kQueries, counts);
    }

    const ScanRequest& request_;
    int64_t capacity_;
    int64_t M_;      // even
    int64_t group_;  // queries there is room for
    BoundShape shape_;
    bool bits_chosen_ = false;
    const int64_t first_cache_ = first_cache_bytes();
    CodeTile<Codes> tile_;
    double share_ = 0;  // of the span's rows that were seen
    double ratio_ = 0;  // of a limit between least and mean distance; 0: not known yet
    Query queries_[kGroup];
    Kept kept_[kTogether][CodeTile<Codes>::kMostGroups + 1];
    int64_t query_bytes_;  // room for a query's table in bytes
    Buffer<uint8_t> bytes_;
    Buffer<float> least_;
    Buffer<uint8_t> sums_;
    Buffer<uint8_t> put_off_codes_;
    Buffer<int64_t> put_off_rows_;
    TopK sample_;
    std::unique_ptr<Single> single_;
};

}  // namespace
}  // namespace pqstore
