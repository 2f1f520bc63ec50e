// The scan of lists: a few rows in many short pieces, which lie here and there.
//
// The first rows give a limit. Of the others those are kept whose bounds are within it, and when there are some hundreds
// of them, they are summed together, the nearest bounds first: few branches depend on a single row.
#pragma once

#include <algorithm>
#include <cstdint>

#include "common/bound_scale.h"
#include "common/buffer.h"
#include "common/scan_driver.h"
#include "common/top_k.h"

namespace pqstore {
namespace {

// `Bounds` is what an instruction set has for a kind of codes:
//   Terms: exact distances;
//   kBlocks: blocks that are bounded at a time, 1 or 2;
//   prepare(table, scale): of a query; quantize(scale): to bytes; clear(): bytes of zeros, which discard no row;
//   bound(first, second, limit, sums): rows within the limit, as bits, and their bounds at position(row).
template <typename Bounds>
class ListScanner {
  public:
    static constexpr int64_t kGroup = 1;

    ListScanner(const ScanRequest& request, int64_t capacity)
        : request_(request),
          capacity_(capacity),
          terms_(request.layout, request.tables),
          bounds_(request.layout),
          opening_rows_(std::min(count_blocks(request) * kBlockRows, std::max(kLeastOpening, kOpening * capacity))),
          most_kept_(std::min(count_blocks(request) * kBlockRows, std::max(kLeastKept, 2 * capacity))) {
        const auto kept = static_cast<size_t>(std::max(opening_rows_, most_kept_) + kStretch * kBlockRows + kSpare);
        places_.resize(kept);
        sums_.resize(kept);
        chosen_.resize(kept);
        distances_.resize(kept);
        found_.resize(2 * static_cast<size_t>(capacity) + kept);
    }

    void scan(int64_t query, int64_t, int64_t first_block, int64_t end_block, SharedTopK* result) {
        const float* table = request_.tables + query * request_.layout.M * Terms::kTableSize;
        terms_ = Terms(request_.layout, table);
        bounds_.prepare(table, scale_);
        list_stretches(first_block, end_block);
        kept_ = found_count_ = 0;
        limit_distance_ = result->limit();
        int64_t next = 0;
        if (limit_distance_ < kInfinity) {
            rescale(limit_distance_);
        } else {
            next = open();
        }
        for (; next < stretch_count_; ++next) {
            keep(next);
            if (kept_ > most_kept_) settle();
        }
        settle();
        if (found_count_ > capacity_) select();
        result->merge(found_.data(), found_count_);
    }

  private:
    using Terms = typename Bounds::Terms;

    static constexpr int64_t kOpening = 6, kLeastOpening = 256;  // rows: for each of the nearest; and at least
    static constexpr int64_t kLeastKept = 128;                   // rows, before they are summed
    static constexpr int64_t kStretch = 64;                      // blocks
    static constexpr int64_t kSample = 32, kLeastSample = 8;     // rows
    static constexpr int64_t kAhead = 4, kAheadBytes = 1024;     // rows whose codes are fetched ahead, how much of each
    static constexpr int64_t kSpare = 128;                       // rows that are written past the last one
    static constexpr double kRescale = 0.8;
    static constexpr int kMostUnits = 32767;

    // A stretch's number and a row's place in its chunk.
    static constexpr int kPlaceBits = 40;
    static constexpr uint64_t kPlaceMask = (uint64_t{1} << kPlaceBits) - 1;

    void list_stretches(int64_t first_block, int64_t end_block) {
        const int64_t most = request_.chunk_count + (end_block - first_block) / kStretch + 1;
        stretches_.resize(static_cast<size_t>(most));
        stretch_count_ = 0;
        visit_span(request_, first_block, end_block, [&](const Piece& piece) {
            for (int64_t begin = piece.first_block; begin < piece.end_block; begin += kStretch) {
                const int64_t end = std::min(begin + kStretch, piece.end_block);
                stretches_[static_cast<size_t>(stretch_count_++)] = {piece.chunk, begin, end};
            }
        });
    }

    // Looks at the first rows for a limit. Returns the stretch from which on all rows within it must be kept.
    int64_t open() {
        int64_t next = 0;
        const float guess = scale_.usable() ? mean_of_first() : kInfinity;
        if (guess < kInfinity) {
            rescale(guess);
            for (int64_t rows = 0; next < stretch_count_ && rows < opening_rows_; ++next) rows += keep(next);
            if (kept_ >= capacity_) settle();
            if (limit_distance_ <= guess) return next;
        }
        // Rows beyond the guess were not kept.
        kept_ = found_count_ = 0;
        rescale(limit_distance_);
        return 0;
    }

    // The mean distance of some rows of the first pieces, which are near: a limit that about half of these rows are within.
    float mean_of_first() const {
        float total = 0;
        int64_t count = 0;
        for (int64_t i = 0; i < stretch_count_ && count < kLeastSample; ++i) {
            const Stretch& first = stretches_[static_cast<size_t>(i)];
            for (int64_t block = first.first; block < first.end && count < kSample; ++block)
                for (uint32_t lanes = live_lanes(*first.chunk, block); lanes && count < kSample;
                     lanes &= lanes - 1, ++count)
                    total += terms_.distance(codes_of(*first.chunk, block), __builtin_ctz(lanes));
        }
        return count > 0 ? total / static_cast<float>(count) : kInfinity;
    }

    // Without a limit, or with tables that give none, each row is kept.
    void rescale(float limit) {
        bounded_ = scale_.usable() && limit < kInfinity;
        if (!bounded_) {
            bounds_.clear();
            limit_ = kMostUnits;
            return;
        }
        scale_.set_limit(limit);
        bounds_.quantize(scale_.scale());
        limit_ = scale_.limit_units();
    }

    const uint8_t* codes_of(const Chunk& chunk, int64_t block) const {
        return chunk.packed + block * terms_.block_bytes;
    }

    // Keeps the rows of a stretch that are within the limit. Returns how many rows it has. By itself, so that its loop
    // has all registers.
    [[gnu::noinline]] int64_t keep(int64_t number) {
        const Stretch& stretch = stretches_[static_cast<size_t>(number)];
        const Chunk& chunk = *stretch.chunk;
        if (chunk.dead) return keep_marked(number);
        const int64_t last = stretch.end - 1;
        const int limit = limit_;
        Ahead next = ahead_of(number + 1);
        for (int64_t block = stretch.first; block < stretch.end; block += Bounds::kBlocks) {
            alignas(64) uint16_t sums[Bounds::kBlocks * kBlockRows];
            next.fetch(Bounds::kBlocks * terms_.block_bytes);
            const int64_t second = std::min(block + 1, last);
            uint64_t rows = bounds_.bound(codes_of(chunk, block), codes_of(chunk, second), limit, sums);
            if (!rows) continue;
            uint64_t live = live_lanes(chunk, block);
            if (Bounds::kBlocks == 2 && second != block)
                live |= static_cast<uint64_t>(live_lanes(chunk, second)) << kBlockRows;
            append(rows & live, sums,
                   static_cast<uint64_t>(number) << kPlaceBits | static_cast<uint64_t>(block * kBlockRows));
        }
        return (stretch.end - stretch.first) * kBlockRows;
    }

    // The same where it is known which rows are live: blocks without any are passed over, and only live rows count.
    [[gnu::noinline]] int64_t keep_marked(int64_t number) {
        const Stretch& stretch = stretches_[static_cast<size_t>(number)];
        const Chunk& chunk = *stretch.chunk;
        Ahead next = ahead_of(number + 1);
        int64_t count = 0, waiting = -1;  // a block, for another that is bounded with it
        uint32_t its_live = 0;
        for (int64_t block = stretch.first; block < stretch.end; ++block) {
            next.fetch(terms_.block_bytes);
            const uint32_t live = live_lanes(chunk, block);
            if (!live) continue;
            count += __builtin_popcount(live);
            if (Bounds::kBlocks == 2 && waiting < 0) {
                waiting = block;
                its_live = live;
            } else if (Bounds::kBlocks == 2) {
                keep_two(number, waiting, its_live, block, live);
                waiting = -1;
            } else {
                keep_two(number, block, live, block, 0);
            }
        }
        if (waiting >= 0) keep_two(number, waiting, its_live, waiting, 0);
        return count;
    }

    [[gnu::always_inline]] void keep_two(int64_t number, int64_t first, uint32_t of_first, int64_t second,
                                         uint32_t of_second) {
        alignas(64) uint16_t sums[Bounds::kBlocks * kBlockRows];
        const Chunk& chunk = *stretches_[static_cast<size_t>(number)].chunk;
        const uint64_t rows = bounds_.bound(codes_of(chunk, first), codes_of(chunk, second), limit_, sums);
        const uint64_t place = static_cast<uint64_t>(number) << kPlaceBits;
        append(rows & of_first, sums, place + static_cast<uint64_t>(first * kBlockRows));
        if (of_second)
            append(rows & static_cast<uint64_t>(of_second) << kBlockRows, sums,
                   place + static_cast<uint64_t>((second - 1) * kBlockRows));
    }

    // Codes that are fetched while others are read.
    struct Ahead {
        const uint8_t* codes;
        int64_t bytes;

        [[gnu::always_inline]] void fetch(int64_t size) {
            for (const int64_t left = std::max<int64_t>(0, bytes - size); bytes > left; bytes -= 64, codes += 64)
                __builtin_prefetch(codes);
        }
    };

    Ahead ahead_of(int64_t number) const {
        if (!request_.scattered || number >= stretch_count_) return {nullptr, 0};
        const Stretch& stretch = stretches_[static_cast<size_t>(number)];
        return {codes_of(*stretch.chunk, stretch.first), (stretch.end - stretch.first) * terms_.block_bytes};
    }

    [[gnu::always_inline]] void append(uint64_t rows, const uint16_t* sums, uint64_t place) {
        for (; rows; rows &= rows - 1) {
            const int row = __builtin_ctzll(rows);
            places_[static_cast<size_t>(kept_)] = place + static_cast<uint64_t>(row);
            sums_[static_cast<size_t>(kept_++)] = sums[Bounds::position(row)];
        }
    }

    // Sums all kept rows that can be among the nearest, those first whose bounds are least. None is kept afterwards.
    void settle() {
        if (!bounded_ || dead_ > found_ever_) drop_dead();
        for (bool first = true; kept_ > 0; first = false) {
            int cut = limit_;
            if (!(limit_distance_ < kInfinity)) {
                cut = cut_of(std::max<int64_t>(1, capacity_ - found_count_));  // enough may be infinitely far
            } else if (first && kept_ > capacity_) {
                cut = cut_of(capacity_ / 2);
            }
            sum(choose(cut));
            take_limit();
        }
        if (bounded_ ? scale_.outdated(limit_distance_, kRescale) : scale_.usable() && limit_distance_ < kInfinity)
            rescale(limit_distance_);
    }

    // A bound that at least `wanted` kept rows do not exceed, the least; the limit where they are fewer.
    int cut_of(int64_t wanted) const {
        if (kept_ <= wanted) return limit_;
        int low = 0, high = limit_;
        while (low < high) {
            const int middle = (low + high) / 2;
            if (count_within(middle) >= wanted) {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        return low;
    }

    int64_t count_within(int most) const {
        const uint16_t* sums = sums_.data();
        int64_t within = 0;
        for (int64_t begin = 0; begin < kept_; begin += 4096) {
            uint16_t some = 0;  // of as many bits as the bounds, so that registers hold as many
            for (int64_t i = begin, end = std::min(kept_, begin + 4096); i < end; ++i)
                some = static_cast<uint16_t>(some + (sums[i] <= most));
            within += some;
        }
        return within;
    }

    // Takes the rows up to the cut, of which the number is returned, and lets go of those beyond the limit.
    int64_t choose(int cut) {
        uint64_t *places = places_.data(), *chosen = chosen_.data();
        uint16_t* sums = sums_.data();
        int64_t taken = 0, left = 0;
        for (int64_t i = 0; i < kept_; ++i) {
            const uint64_t place = places[i];
            const int bound = sums[i];
            chosen[taken] = place;
            taken += bound <= cut;
            places[left] = place;
            sums[left] = static_cast<uint16_t>(bound);
            left += (bound > cut) & (bound <= limit_);
        }
        kept_ = left;
        return taken;
    }

    // Distances of the chosen rows; those that are live and within the limit are found.
    void sum(int64_t count) {
        const int64_t ahead_bytes = std::min(kAheadBytes, terms_.block_bytes);
        for (int64_t i = 0; i < count; ++i) {
            if (i + kAhead < count) {
                const Chunk& chunk = chunk_of(chosen_[i + kAhead]);
                const int64_t place = place_of(chosen_[i + kAhead]);
                const uint8_t* codes = codes_of(chunk, place / kBlockRows);
                for (int64_t at = 0; at < ahead_bytes; at += 64) __builtin_prefetch(codes + at);
                if (chunk.numbers) __builtin_prefetch(chunk.numbers + place);
            }
            const int64_t place = place_of(chosen_[i]);
            distances_[i] = terms_.distance(codes_of(chunk_of(chosen_[i]), place / kBlockRows),
                                            static_cast<int>(place % kBlockRows));
        }
        for (int64_t i = 0; i < count; ++i) {
            if (distances_[i] > limit_distance_) continue;
            const int64_t row = live_row(request_, chunk_of(chosen_[i]), place_of(chosen_[i]));
            found_[static_cast<size_t>(found_count_)] = {distances_[i], row};
            found_count_ += row >= 0;
            found_ever_ += row >= 0;
            dead_ += row < 0;
        }
    }

    // Where most rows are dead, as under a filter, they are looked up before they are summed.
    void drop_dead() {
        int64_t left = 0;
        for (int64_t i = 0; i < kept_; ++i) {
            const uint64_t place = places_[i];
            places_[left] = place;
            sums_[left] = sums_[i];
            left += live_row(request_, chunk_of(place), place_of(place)) >= 0;
        }
        kept_ = left;
    }

    void take_limit() {
        if (found_count_ < capacity_) return;
        if (limit_distance_ < kInfinity || found_count_ > 2 * capacity_) {
            select();
        } else {
            // The farthest of about as many rows as are wanted: a selection costs more than it saves.
            float most = found_[0].distance;
            for (int64_t i = 1; i < found_count_; ++i) most = std::max(most, found_[i].distance);
            limit_distance_ = most;
        }
        if (bounded_) limit_ = std::min(limit_, scale_.units_of(limit_distance_));
    }

    void select() {
        std::nth_element(found_.data(), found_.data() + capacity_ - 1, found_.data() + found_count_, Nearer{});
        found_count_ = capacity_;
        limit_distance_ = std::min(limit_distance_, found_[static_cast<size_t>(capacity_ - 1)].distance);
    }

    const Chunk& chunk_of(uint64_t place) const { return *stretches_[static_cast<size_t>(place >> kPlaceBits)].chunk; }
    static int64_t place_of(uint64_t place) { return static_cast<int64_t>(place & kPlaceMask); }

    struct Stretch {
        const Chunk* chunk;
        int64_t first, end;  // blocks
    };

    const ScanRequest& request_;
    int64_t capacity_;
    Terms terms_;
    Bounds bounds_;
    BoundScale scale_;
    bool bounded_ = false;  // whether bytes are scaled to a limit
    int limit_ = kMostUnits;
    float limit_distance_ = kInfinity;
    int64_t opening_rows_, most_kept_;
    int64_t stretch_count_ = 0, kept_ = 0, found_count_ = 0;
    int64_t found_ever_ = 0, dead_ = 0;  // rows that were summed
    Buffer<Stretch> stretches_;
    Buffer<uint64_t> places_, chosen_;
    Buffer<uint16_t> sums_;
    Buffer<float> distances_;
    Buffer<Hit> found_;
};

}  // namespace
}  // namespace pqstore
