// The scan of 8-bit codes for one query: bound 32 rows at a time, refine the few that remain, sum the fewer exactly.
#pragma once

#include <arm_neon.h>

#include "../common/code_terms.h"
#include "../common/first_limit.h"
#include "../common/scan_driver.h"
#include "prefix_bound.h"

namespace pqstore {
namespace {

class PrefixScanner {
  public:
    static constexpr int64_t kGroup = 1;

    PrefixScanner(const ScanRequest& request, int64_t capacity)
        : request_(request), capacity_(capacity), sections_(request.layout.pairs(), kSectionPairs) {}

    void scan(int64_t query, int64_t, int64_t first_block, int64_t end_block, SharedTopK* result) {
        const Layout& layout = request_.layout;
        const Block8Terms terms(layout, request_.tables + query * layout.M * 256);
        best_.reset(capacity_);
        best_.lower_limit(result->limit());
        prepare(terms, 6);
        best_.lower_limit(sampled_limit(terms, first_block, end_block));
        rescale();
        visit_span(request_, first_block, end_block, [&](const Piece& piece) {
            // Between stretches: what other threads have found, and whether the bound discards enough.
            for (int64_t begin = piece.first_block; begin < piece.end_block; begin += kStretch) {
                const int64_t end = std::min(begin + kStretch, piece.end_block);
                best_.lower_limit(result->limit());
                survivors_ = 0;
                scan_stretch(terms, *piece.chunk, begin, end);
                if (tables_.bits() == 6 && survivors_ > kManySurvivors * (end - begin)) {
                    prepare(terms, 7);
                    rescale();
                }
                if (best_.full()) result->lower_limit(best_.limit());
            }
        });
        result->merge(best_);
    }

  private:
    static constexpr int64_t kSectionPairs = 4;
    static constexpr double kSaturation = 2.0;    // sections saturate at twice their share of the limit
    static constexpr int64_t kStretch = 64;       // blocks
    static constexpr int64_t kManySurvivors = 6;  // a block: then the tighter, slower bound pays
    static constexpr double kRescale = 0.98, kRescaleExcesses = 0.7;

    void prepare(const Block8Terms& terms, int bits) {
        tables_.prepare(terms.table, terms.M, bits);
        scale_.prepare(tables_.base(), tables_.magnitudes(), terms.M, sections_.capacity() / kSaturation);
        minima_.resize(static_cast<size_t>(tables_.minima_count()));
        excesses_.resize(static_cast<size_t>(tables_.excesses_count()));
        excess_scale_ = 0;
    }

    // From bounds in units that suit the mean distance: the rows that matter are well below it.
    float sampled_limit(const Block8Terms& terms, int64_t first_block, int64_t end_block) {
        const auto mean = static_cast<float>(tables_.mean());
        if (!scale_.usable() || !(mean < kInfinity))
            return first_limit(request_, terms, first_block, end_block, capacity_, sample_);
        scale_.set_limit(mean);
        quantize_down(tables_.minima(), tables_.minima_count(), scale_.scale(), minima_.data());
        const uint16x8_t no_limit = vdupq_n_u16(UINT16_MAX);
        return first_limit_by_bounds(
            request_, terms, first_block, end_block, capacity_, sample_, sample_sums_,
            [&](const uint8_t* codes, uint16_t* sums) {
                bound_block<6>(codes, minima_.data(), sections_, no_limit, sums);
            },
            [](int lane) { return lane; });
    }

    // Scales the bytes to the limit as it is now. Without a limit, or with tables that give none, all bytes are zero:
    // no row is discarded.
    void rescale() {
        if (!scale_.usable() || !(best_.limit() < kInfinity)) {
            std::fill(minima_.data(), minima_.data() + tables_.minima_count(), uint8_t{0});
            std::fill(excesses_.data(), excesses_.data() + tables_.excesses_count(), uint8_t{0});
            return;
        }
        scale_.set_limit(best_.limit());
        quantize_down(tables_.minima(), tables_.minima_count(), scale_.scale(), minima_.data());
        // Coarser units serve the excesses as long as they are not much coarser.
        if (excess_scale_ < kRescaleExcesses * scale_.scale()) {
            excess_scale_ = scale_.scale();
            quantize_down(tables_.excesses(), tables_.excesses_count(), excess_scale_, excesses_.data());
        }
        excess_ratio_ = excess_scale_ / scale_.scale();
    }

    void scan_stretch(const Block8Terms& terms, const Chunk& chunk, int64_t begin, int64_t end) {
        if (tables_.bits() == 6) {
            scan_bounded<6>(terms, chunk, begin, end);
        } else {
            scan_bounded<7>(terms, chunk, begin, end);
        }
    }

    template <int kBits>
    void scan_bounded(const Block8Terms& terms, const Chunk& chunk, int64_t begin, int64_t end) {
        const int64_t block_bytes = terms.block_bytes;
        const int limit_units = scale_.limit_units();
        const uint16x8_t limit = vdupq_n_u16(static_cast<uint16_t>(limit_units));
        uint16_t sums[kBlockRows];
        for (int64_t block = begin; block < end; ++block) {
            const uint8_t* codes = chunk.packed + block * block_bytes;
            uint32_t lanes = bound_block<kBits>(codes, minima_.data(), sections_, limit, sums);
            if (lanes == 0) continue;
            lanes &= live_lanes(chunk, block);
            for (; lanes; lanes &= lanes - 1) {
                const int lane = __builtin_ctz(lanes);
                ++survivors_;
                if (!refine(codes, lane, limit_units - sums[lane])) continue;
                best_.offer(terms.distance(codes, lane), chunk.first_row + block * kBlockRows + lane);
            }
            if (scale_.outdated(best_.limit(), kRescale)) rescale();
        }
    }

    // Adds what each code is above its group's least. False: the row is beyond the limit.
    bool refine(const uint8_t* block, int lane, int allowance) const {
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

    const ScanRequest& request_;
    int64_t capacity_;
    Sections sections_;
    PrefixTables tables_;
    BoundScale scale_;
    Buffer<uint8_t> minima_, excesses_;
    float excess_scale_ = 0, excess_ratio_ = 1;
    int64_t survivors_ = 0;  // of the bound, in this stretch
    TopK best_, sample_;
    Buffer<uint16_t> sample_sums_;
};

}  // namespace
}  // namespace pqstore
