// The scan of 8-bit codes for one query.
//
// The bounds of the first rows are all kept, in units of the mean distance, which the tables alone give: nothing is
// summed before them. What looks nearest is summed then, and what remains within the limit that these give. Few of the
// rows that follow are within it.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <type_traits>

#include "avx512/bits_rule.h"
#include "avx512/byte_tables.h"
#include "avx512/groups.h"
#include "avx512/look_up.h"
#include "common/bound_scale.h"
#include "common/buffer.h"
#include "common/code_terms.h"
#include "common/scan_driver.h"

namespace pqstore {
namespace {

class SingleScanner {
  public:
    static constexpr int64_t kGroup = 1;

    SingleScanner(const ScanRequest& request, int64_t capacity)
        : request_(request),
          capacity_(capacity),
          terms_(request.layout, request.tables),
          pairs_(request.layout.pairs()),
          sections_(pairs_, kSectionPairs),
          least_(static_cast<size_t>(2 * pairs_)),
          bytes_(static_cast<size_t>(2 * pairs_ * 256)) {}

    void scan(int64_t query, int64_t, int64_t first_block, int64_t end_block, SharedTopK* result) {
        terms_ = Block8Terms(request_.layout, request_.tables + query * request_.layout.M * 256);
        best_.reset(capacity_);
        best_.lower_limit(result->limit());
        const TableSums sums = TableSums::of<256>(terms_.table, terms_.M, least_.data());
        scale_.prepare(sums.base, sums.magnitudes, terms_.M, sections_.capacity() / kSaturation);
        bits_ = {8, 0};
        if (scale_.usable() && std::isfinite(sums.mean) && !(best_.limit() < kInfinity)) {
            const int64_t opened = std::min(end_block, first_block + kOpening);
            rescale(static_cast<float>(sums.base + (sums.mean - sums.base) * kMeanShare));
            open(first_block, opened, end_block);
            first_block = opened;
        }
        if (first_block < end_block) rescale(best_.limit());
        visit_span(request_, first_block, end_block, [&](const Piece& piece) {
            for (int64_t begin = piece.first_block; begin < piece.end_block; begin += kStretch) {
                if (best_.full()) result->lower_limit(best_.limit());
                best_.lower_limit(result->limit());
                offer_stretch({piece.chunk, begin, std::min(begin + kStretch, piece.end_block)});
            }
        });
        result->merge(best_);
    }

  private:
    static constexpr int64_t kSectionPairs = 2;
    static constexpr double kSaturation = 2.0;     // sections saturate at twice their share of the limit
    static constexpr double kMeanShare = 4.0 / 3;  // of the mean distance: the limit of the opening's units
    static constexpr int64_t kOpening = 2048;      // blocks
    static constexpr int64_t kFirst = 64;          // blocks, of which all groups are looked at
    static constexpr int64_t kStretch = 256;       // blocks
    static constexpr int64_t kAhead = 3;           // groups of which codes are fetched ahead
    static constexpr int64_t kFarMore = 3500;      // rows for each of the nearest: then 7 bits are enough
    static constexpr int64_t kNear = 16;           // rows that show how distances fall
    static constexpr double kRescale = 0.98;
    static constexpr int kMostUnits = 32767;
    static constexpr BoundCosts kCosts{1.0, 1.5, 2.6};

    // Bounds of a group in 16 bits: of even rows, then of odd ones.
    struct Bounds {
        alignas(64) uint16_t sums[64];
    };

    // Rows of a group, in the order of its bounds.
    struct Kept {
        Group group;
        uint64_t positions;
    };

    // Positions to rows.
    static uint64_t rows_at(uint64_t positions) {
        return _pdep_u64(positions & 0xffffffffu, 0x5555555555555555ull) |
               _pdep_u64(positions >> 32, 0xaaaaaaaaaaaaaaaaull);
    }

    static uint64_t positions_within(const Bounds& bounds, int most) {
        const __m512i limit = _mm512_set1_epi16(static_cast<int16_t>(most));
        return _mm512_cmple_epi16_mask(load64(bounds.sums), limit) |
               static_cast<uint64_t>(_mm512_cmple_epi16_mask(load64(bounds.sums + 32), limit)) << 32;
    }

    // Without a limit, or with tables that give none, all bytes are zero: no row is discarded.
    void rescale(float limit) {
        bounded_ = scale_.usable() && limit < kInfinity;
        if (!bounded_) {
            std::memset(bytes_.data(), 0, static_cast<size_t>(bits_.offset(2 * pairs_)));
            return;
        }
        scale_.set_limit(limit);
        quantize();
    }

    void quantize() {
        quantize_tables<TableOrder::kLabel>(terms_.table, terms_.M, least_.data(), bits_, scale_.scale(),
                                            bytes_.data());
    }

    // The bounds of a group: the first sub-spaces by 8 bits, the others by 7.
    [[gnu::always_inline]] void bound(const Group& group, Bounds& bounds) const {
        const uint8_t* a = group.first(terms_.block_bytes);
        const uint8_t* b = group.second(terms_.block_bytes);
        const uint8_t* tables = bytes_.data();
        WideSums wide;
        const auto add_pairs = [&](auto bits, int64_t count) __attribute__((always_inline)) {
            constexpr int kBits = decltype(bits)::value;
            __m512i first = _mm512_setzero_si512(), second = first;
            const auto add_pair = [&]() __attribute__((always_inline)) {
                prefetch(a, kPrefetchBytes, 64);
                prefetch(b, kPrefetchBytes, 64);
                const PairCodes codes(a, b);
                const auto index = [&](__m512i rows) { return kBits == 8 ? rows : prefix_first(rows); };
                first = _mm512_adds_epu8(first, LookUp<kBits>(index(codes.first)).in(tables));
                tables += 1 << kBits;
                second = _mm512_adds_epu8(second, LookUp<kBits>(index(codes.second)).in(tables));
                tables += 1 << kBits;
                a += 64;
                b += 64;
            };
            for (; count >= kSectionPairs; count -= kSectionPairs) {
                first = second = _mm512_setzero_si512();
                for (int64_t i = 0; i < kSectionPairs; ++i) add_pair();
                wide.add(first);
                wide.add(second);
            }
            for (; count > 0; --count) {
                first = second = _mm512_setzero_si512();
                add_pair();
                wide.add(first);
                wide.add(second);
            }
        };
        add_pairs(std::integral_constant<int, 8>{}, bits_.split / 2);
        add_pairs(std::integral_constant<int, 7>{}, pairs_ - bits_.split / 2);
        store64(bounds.sums, wide.even());
        store64(bounds.sums + 32, wide.odd());
    }

    // Offers the rows of the first blocks that can be among the nearest. `end`: where the scan ends.
    void open(int64_t first, int64_t opened, int64_t end) {
        const auto groups = static_cast<size_t>(opened - first + 1);  // pieces may have odd blocks
        bounds_.resize(groups);
        groups_.resize(groups);
        listed_.resize(groups);
        remaining_.resize(groups);
        kept_ = count_ = 0;
        const int64_t some = std::min(opened, first + kFirst);
        keep_bounds(first, some, kMostUnits);
        int horizon = kMostUnits;  // groups beyond it are not listed
        if (some < opened) {
            if (choose_bits(static_cast<double>(some - first) / static_cast<double>(end - first), end - first)) {
                // Looser bounds among the others would pass for nearer rows.
                kept_ = count_ = 0;
                keep_bounds(first, some, kMostUnits);
            }
            horizon = cut_of(2 * capacity_ + 8, scale_.limit_units());
            keep_bounds(some, opened, horizon);
        }
        int cut = -1;
        for (int64_t wanted = capacity_ + capacity_ / 8 + 2; !best_.full() && cut < kMostUnits; wanted *= 2) {
            const int next = cut_of(wanted, std::min(horizon, scale_.limit_units()));
            if (next > horizon) horizon = list_all();
            offer(cut, next, best_);
            cut = next;
        }
        const int limit = scale_.units_of(best_.limit());
        if (limit > horizon) list_all();
        if (limit > cut) offer(cut, limit, best_);
    }

    // From the bounds of the first blocks, a `share` of all `blocks`: what will remain of all rows. Returns whether
    // some sub-spaces are looked up by 8 bits from now on.
    bool choose_bits(double share, int64_t blocks) {
        const int64_t rows = blocks * kBlockRows;
        if (rows > capacity_ * kFarMore) return false;               // few remain in any case
        const double rank = static_cast<double>(capacity_) * share;  // of the last of the nearest among the first rows
        const int64_t looked_at = std::max<int64_t>(kNear, static_cast<int64_t>(rank) + 1);
        sample_.reset(looked_at);
        offer(-1, cut_of(looked_at + looked_at / 2, scale_.limit_units()), sample_);
        if (!sample_.full()) return false;
        sample_.sort();
        double expected = sample_.limit();
        // Below the sample's resolution distances fall as the logarithm of the rank.
        if (rank < kNear) {
            const double near = expected, nearer = sample_.begin()[kNear / 4 - 1].distance;
            expected = near + (near - nearer) * std::log(rank / kNear) / std::log(4.0);
        }
        const int units = scale_.units_of(static_cast<float>(std::max(expected, scale_.base())));
        const auto within = static_cast<double>(count_within_listed(units, 1));
        bits_ =
            best_bits(within / share, static_cast<double>(capacity_), static_cast<double>(rows), 2 * pairs_, 7, kCosts);
        bits_.split = bits_.split / 2 * 2;
        if (bits_.split == 0) return false;
        quantize();
        return true;
    }

    // Keeps the bounds of blocks and lists the groups that have rows within `horizon`.
    [[gnu::noinline]] void keep_bounds(int64_t first, int64_t end, int horizon) {
        visit_span(request_, first, end, [&](const Piece& piece) {
            visit_groups(piece, [&](const Group& group) {
                Bounds& bounds = bounds_[static_cast<size_t>(kept_)];
                bound(group, bounds);
                groups_[static_cast<size_t>(kept_)] = group;
                // Written in any case: a branch would be taken at random.
                listed_[static_cast<size_t>(count_)] = static_cast<uint32_t>(kept_++);
                count_ += positions_within(bounds, horizon) != 0;
            });
        });
    }

    int list_all() {
        count_ = kept_;
        for (int64_t i = 0; i < kept_; ++i) listed_[static_cast<size_t>(i)] = static_cast<uint32_t>(i);
        return kMostUnits;
    }

    // Rows of listed groups whose bounds are not above `most`, of every `stride`-th group.
    int64_t count_within_listed(int most, int64_t stride) const {
        int64_t within = 0;
        for (int64_t i = 0; i < count_; i += stride)
            within += __builtin_popcountll(positions_within(bounds_[listed_[static_cast<size_t>(i)]], most));
        return within;
    }

    // About the least bound that `wanted` rows of the listed groups do not exceed. The search begins at `expected`.
    int cut_of(int64_t wanted, int expected) const {
        const int64_t stride = count_ < 128 || wanted < 64 ? 1 : 4;
        const auto enough = [&](int cut) { return stride * count_within_listed(cut, stride) >= wanted; };
        int low = 0, high = std::min(expected, kMostUnits);
        while (high < kMostUnits && !enough(high)) {
            low = high;
            high = std::min(2 * high, kMostUnits);
        }
        while (high - low > high / 128) {
            const int middle = (low + high) / 2;
            if (enough(middle)) {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        return high;
    }

    // Offers the rows of listed groups whose bounds are above `over` and within `most`.
    [[gnu::noinline]] void offer(int over, int most, TopK& best) {
        int64_t remaining = 0;
        for (int64_t i = 0; i < count_; ++i) {
            const Bounds& bounds = bounds_[listed_[static_cast<size_t>(i)]];
            const uint64_t positions = positions_within(bounds, most) & ~positions_within(bounds, over);
            remaining_[static_cast<size_t>(remaining)] = {groups_[listed_[static_cast<size_t>(i)]], positions};
            remaining += positions != 0;
        }
        offer_rows(remaining_.data(), remaining, best);
    }

    void offer_rows(const Kept* kept, int64_t count, TopK& best) {
        for (int64_t i = 0; i < count; ++i) {
            if (i + kAhead < count) fetch(kept[i + kAhead]);
            const Group& group = kept[i].group;
            for (uint64_t rows = rows_at(kept[i].positions) & group.live(); rows; rows &= rows - 1) {
                const int row = __builtin_ctzll(rows);
                const uint8_t* codes = group.codes_of(row, terms_.block_bytes);
                best.offer(terms_.distance(codes, row & 31), group.number_of(row));
            }
        }
    }

    // Asks for the codes of a group's first row that remains, which are no longer in the nearest cache.
    void fetch(const Kept& kept) const {
        const int row = __builtin_ctzll(rows_at(kept.positions));
        prefetch(kept.group.codes_of(row, terms_.block_bytes), 0, terms_.block_bytes);
    }

    void offer_stretch(const Piece& piece) {
        offer_rows(stretch_, bound_stretch(piece), best_);
        if (bounded_ ? scale_.outdated(best_.limit(), kRescale) : scale_.usable() && best_.full())
            rescale(best_.limit());
    }

    // Keeps the groups of a stretch that have rows within the limit. Returns how many. By itself, so that its loops
    // have all registers.
    [[gnu::noinline]] int64_t bound_stretch(const Piece& piece) {
        const int limit = bounded_ ? scale_.limit_units() : kMostUnits;
        int64_t kept = 0;
        visit_groups(piece, [&](const Group& group) {
            Bounds bounds;
            bound(group, bounds);
            stretch_[kept] = {group, positions_within(bounds, limit)};
            kept += stretch_[kept].positions != 0;
        });
        return kept;
    }

    const ScanRequest& request_;
    int64_t capacity_;
    Block8Terms terms_;
    int64_t pairs_;
    Sections sections_;
    BoundScale scale_;
    bool bounded_ = false;  // whether bytes are scaled to a limit
    BoundBits bits_{8, 0};
    Buffer<float> least_;
    Buffer<uint8_t> bytes_;
    int64_t kept_ = 0;   // groups whose bounds are kept
    int64_t count_ = 0;  // of these, listed
    Buffer<Bounds> bounds_;
    Buffer<Group> groups_;
    Buffer<uint32_t> listed_;
    Buffer<Kept> remaining_;
    Kept stretch_[kStretch / 2 + 1];
    TopK best_, sample_;
};

}  // namespace
}  // namespace pqstore
