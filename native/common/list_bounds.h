// Bounds for the scan of lists, of 4-bit codes and of 8-bit ones, by the functions of an instruction set.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "common/bound_scale.h"
#include "common/buffer.h"
#include "common/code_terms.h"
#include "common/list_scan.h"

namespace pqstore {
namespace {

constexpr double kListSaturation = 2.0;  // sections saturate at twice their share of the limit

// `Simd` is what NibbleScanner takes.
template <typename Simd>
class NibbleListBounds {
  public:
    using Terms = Block4Terms;
    static constexpr int64_t kBlocks = 1;

    explicit NibbleListBounds(const Layout& layout)
        : M_(layout.M),
          pairs_(layout.pairs()),
          sections_(pairs_, kSectionPairs),
          entries_(static_cast<size_t>(pairs_ * 32)),
          bytes_(static_cast<size_t>(pairs_ * 32)) {}

    void prepare(const float* table, BoundScale& scale) {
        std::fill(entries_.data() + M_ * 16, entries_.data() + pairs_ * 32, 0.0f);
        double base = 0, magnitudes = 0, total = 0;
        for (int64_t m = 0; m < M_; ++m) {
            const double least = Simd::above_least(table + m * 16, entries_.data() + m * 16, &total);
            base += least;
            magnitudes += std::fabs(least);
        }
        scale.prepare(base, magnitudes, M_, sections_.capacity() / kListSaturation);
    }

    void quantize(float scale) { Simd::quantize_down(entries_.data(), pairs_ * 32, scale, bytes_.data()); }
    void clear() { std::fill(bytes_.data(), bytes_.data() + pairs_ * 32, uint8_t{0}); }

    [[gnu::always_inline]] uint64_t bound(const uint8_t* block, const uint8_t*, int limit, uint16_t* sums) const {
        Simd::nibble_sums(block, bytes_.data(), pairs_, sections_, sums);
        return Simd::lanes_within(sums, limit);
    }

    static int position(int lane) { return Simd::sum_position(lane); }

  private:
    static constexpr int64_t kSectionPairs = 8;

    int64_t M_, pairs_;
    Sections sections_;
    Buffer<float> entries_;  // above each sub-space's least entry; zero for the sub-space that pads an odd M
    Buffer<uint8_t> bytes_;
};

// `Simd` is what PrefixScanner takes.
template <typename Simd>
class PrefixListBounds {
  public:
    using Terms = Block8Terms;
    static constexpr int64_t kBlocks = 1;

    explicit PrefixListBounds(const Layout& layout) : M_(layout.M), sections_(layout.pairs(), kSectionPairs) {}

    void prepare(const float* table, BoundScale& scale) {
        tables_.prepare(table, M_, kBits);
        bytes_.resize(static_cast<size_t>(tables_.minima_count()));
        scale.prepare(tables_.base(), tables_.magnitudes(), M_, sections_.capacity() / kListSaturation);
    }

    void quantize(float scale) { Simd::quantize_down(tables_.minima(), tables_.minima_count(), scale, bytes_.data()); }
    void clear() { std::fill(bytes_.data(), bytes_.data() + tables_.minima_count(), uint8_t{0}); }

    [[gnu::always_inline]] uint64_t bound(const uint8_t* block, const uint8_t*, int limit, uint16_t* sums) const {
        return Simd::template bound_block<kBits>(block, bytes_.data(), sections_, limit, sums);
    }

    static int position(int lane) { return Simd::sum_position(lane); }

  private:
    static constexpr int kBits = 7;
    static constexpr int64_t kSectionPairs = 4;

    int64_t M_;
    Sections sections_;
    typename Simd::PrefixTables tables_;
    Buffer<uint8_t> bytes_;
};

// `Simd` has the functions for both.
template <typename Simd>
void scan_lists(const ScanRequest& request) {
    if (request.layout.kind == LayoutKind::kBlock4) return run_scan<ListScanner<NibbleListBounds<Simd>>>(request);
    run_scan<ListScanner<PrefixListBounds<Simd>>>(request);
}

}  // namespace
}  // namespace pqstore
