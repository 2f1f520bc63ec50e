// The scan of 8-bit codes for one query: bound 32 rows at a time, refine the few that remain, sum the fewer exactly.
#pragma once

#include "common/code_terms.h"
#include "common/opening.h"
#include "common/scan_driver.h"

namespace pqstore {
namespace {

// `Simd` names the functions of an instruction set: what Opening needs, PrefixTables, bound_block, quantize_down.
template <typename Simd>
class PrefixScanner {
  public:
    static constexpr int64_t kGroup = 1;

    PrefixScanner(const ScanRequest& request, int64_t capacity)
        : request_(request),
          capacity_(capacity),
          terms_(request.layout, request.tables),
          sections_(request.layout.pairs(), kSectionPairs),
          from_memory_(exceeds_caches(request)) {}

    void scan(int64_t query, int64_t, int64_t first_block, int64_t end_block, SharedTopK* result) {
        terms_ = Block8Terms(request_.layout, request_.tables + query * request_.layout.M * 256);
        best_.reset(capacity_);
        best_.lower_limit(result->limit());
        prepare(6);
        if (!(best_.limit() < kInfinity))
            first_block = opening_.run(request_, *this, {first_block, end_block}, kOpening, capacity_, best_);
        rescale();
        int64_t patience = kPatience, until_retry = 0;
        visit_span(request_, first_block, end_block, [&](const Piece& piece) {
            // Between stretches: what other threads have found, and whether the bound discards enough.
            for (int64_t begin = piece.first_block; begin < piece.end_block; begin += kStretch) {
                const int64_t end = std::min(begin + kStretch, piece.end_block);
                if (best_.full()) result->lower_limit(best_.limit());
                best_.lower_limit(result->limit());
                if (tables_.bits() == 6) {
                    const int64_t survivors = offer_kept(*piece.chunk, bound_stretch<6>(*piece.chunk, begin, end));
                    if (survivors <= kManySurvivors * (end - begin)) continue;
                    prepare(7);
                    until_retry = patience *= 2;
                } else {
                    offer_kept(*piece.chunk, bound_stretch<7>(*piece.chunk, begin, end));
                    // The limit may have fallen far enough for the quicker bound.
                    if (--until_retry > 0) continue;
                    prepare(6);
                }
                rescale();
            }
        });
        result->merge(best_);
    }

    // What the opening asks of a query.

    const Block8Terms& terms() const { return terms_; }
    const BoundScale& scale() const { return scale_; }
    float mean() const { return static_cast<float>(tables_.mean()); }

    void rescale(float limit) {
        scale_.set_limit(limit);
        Simd::quantize_down(tables_.minima(), tables_.minima_count(), scale_.scale(), minima_.data());
    }

    void bound(const uint8_t* codes, uint16_t* sums) const {
        if (tables_.bits() == 6) {
            Simd::template bound_block<6>(codes, minima_.data(), sections_, kMostUnits, sums);
        } else {
            Simd::template bound_block<7>(codes, minima_.data(), sections_, kMostUnits, sums);
        }
    }

    void expect(int64_t survivors, int64_t blocks) {
        if (survivors > kManySurvivors * blocks) prepare(7);
    }

    void begin_refining() { rescale_excesses(); }

    // Adds what each code is above its group's least. False: the row is beyond the limit.
    [[gnu::always_inline]] bool refine(const uint8_t* block, int lane, int allowance) const {
        const int allowed = static_cast<int>(static_cast<float>(allowance) * excess_ratio_ * 1.0001f) + 1;
        const uint8_t* codes = block + (lane & 15) + (lane >> 4) * 32;
        const uint8_t* excesses = excesses_.data();
        const int64_t pairs = request_.layout.pairs();
        constexpr int64_t kStep = 4;
        int sum = 0;
        int64_t pair = 0;
        for (; pair + kStep <= pairs; pair += kStep) {
            for (int64_t i = 0; i < kStep; ++i, codes += 64, excesses += 512)
                sum += excesses[codes[0]] + excesses[256 + codes[16]];
            if (sum > allowed) return false;
        }
        for (; pair < pairs; ++pair, codes += 64, excesses += 512)
            sum += excesses[codes[0]] + excesses[256 + codes[16]];
        return sum <= allowed;
    }

  private:
    static constexpr int64_t kSectionPairs = 4;
    static constexpr double kSaturation = 2.0;    // sections saturate at twice their share of the limit
    static constexpr int64_t kOpening = 1024;     // blocks
    static constexpr int64_t kStretch = 64;       // blocks
    static constexpr int64_t kManySurvivors = 3;  // a block: then the tighter, slower bound pays
    static constexpr int64_t kPatience = 8;       // stretches, doubled each time that the tighter bound is turned to
    static constexpr double kRescale = 0.98, kRescaleExcesses = 0.7;
    static constexpr int kMostUnits = 32767;

    struct KeptBlock {
        alignas(32) uint16_t bounds[kBlockRows];
        int64_t block;
        uint32_t lanes;  // within the limit
    };

    void prepare(int bits) {
        tables_.prepare(terms_.table, terms_.M, bits);
        scale_.prepare(tables_.base(), tables_.magnitudes(), terms_.M, sections_.capacity() / kSaturation);
        minima_.resize(static_cast<size_t>(tables_.minima_count()));
        excesses_.resize(static_cast<size_t>(tables_.excesses_count()));
        excess_scale_ = 0;
    }

    // Scales the bytes to the limit as it is now. Without a limit, or with tables that give none, all bytes are zero:
    // no row is discarded.
    void rescale() {
        bounded_ = scale_.usable() && best_.limit() < kInfinity;
        if (!bounded_) {
            std::fill(minima_.data(), minima_.data() + tables_.minima_count(), uint8_t{0});
            std::fill(excesses_.data(), excesses_.data() + tables_.excesses_count(), uint8_t{0});
            return;
        }
        rescale(best_.limit());
        rescale_excesses();
    }

    // Coarser units than the bound's serve the excesses as long as they are not much coarser.
    void rescale_excesses() {
        if (excess_scale_ < kRescaleExcesses * scale_.scale()) {
            excess_scale_ = scale_.scale();
            Simd::quantize_down(tables_.excesses(), tables_.excesses_count(), excess_scale_, excesses_.data());
        }
        excess_ratio_ = excess_scale_ / scale_.scale();
    }

    // Keeps the blocks of a stretch that have lanes within the limit. Returns how many. By itself, so that its loops
    // have all registers.
    template <int kBits>
    [[gnu::noinline]] int64_t bound_stretch(const Chunk& chunk, int64_t begin, int64_t end) {
        const int64_t block_bytes = terms_.block_bytes;
        const int64_t fetched = from_memory_ ? block_bytes : 0;  // ahead, of each block
        const uint8_t* minima = minima_.data();
        const int limit = scale_.limit_units();
        int64_t kept = 0;
        for (int64_t block = begin; block < end; ++block) {
            const uint8_t* codes = chunk.packed + block * block_bytes;
            Simd::prefetch(codes, Simd::kPrefetchBytes, fetched);
            // Written in any case, over the last one that had no lanes: a branch would be taken at random.
            KeptBlock& next = kept_[kept];
            const uint32_t lanes = Simd::template bound_block<kBits>(codes, minima, sections_, limit, next.bounds);
            next.block = block;
            next.lanes = lanes;
            kept += lanes != 0;
        }
        return kept;
    }

    // Returns how many rows were within the bound.
    int64_t offer_kept(const Chunk& chunk, int64_t kept) {
        int limit = scale_.limit_units();
        int64_t survivors = 0;
        for (const KeptBlock* next = kept_; next != kept_ + kept; ++next) {
            const uint8_t* codes = chunk.packed + next->block * terms_.block_bytes;
            for (uint32_t lanes = next->lanes & live_lanes(chunk, next->block); lanes; lanes &= lanes - 1) {
                const int lane = __builtin_ctz(lanes);
                ++survivors;
                if (!refine(codes, lane, limit - next->bounds[Simd::sum_position(lane)])) continue;
                const float before = best_.limit();
                best_.offer(terms_.distance(codes, lane), chunk.first_row + next->block * kBlockRows + lane);
                if (bounded_ && best_.limit() < before) limit = std::min(limit, scale_.units_of(best_.limit()));
            }
        }
        if (scale_.outdated(best_.limit(), kRescale)) rescale();
        return survivors;
    }

    const ScanRequest& request_;
    int64_t capacity_;
    Block8Terms terms_;
    Sections sections_;
    bool from_memory_;
    typename Simd::PrefixTables tables_;
    BoundScale scale_;
    bool bounded_ = false;  // whether bytes are scaled to a limit
    Buffer<uint8_t> minima_, excesses_;
    float excess_scale_ = 0, excess_ratio_ = 1;
    KeptBlock kept_[kStretch];
    TopK best_;
    Opening<Simd> opening_;
};

}  // namespace
}  // namespace pqstore
