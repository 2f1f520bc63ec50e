// Bounds of 8-bit codes for the scan of lists: each code has an entry of its own, rounded down, so that few rows remain.
#pragma once

#include <immintrin.h>

#include <cstring>

#include "avx512/byte_tables.h"
#include "avx512/look_up.h"
#include "common/bound_scale.h"
#include "common/buffer.h"
#include "common/code_terms.h"

namespace pqstore {
namespace {

class ByteListBounds {
  public:
    using Terms = Block8Terms;
    static constexpr int64_t kBlocks = 2;

    explicit ByteListBounds(const Layout& layout)
        : M_(layout.M),
          pairs_(layout.pairs()),
          sections_(pairs_, kSectionPairs),
          least_(static_cast<size_t>(2 * pairs_)),
          bytes_(static_cast<size_t>(2 * pairs_ * 256)) {}

    void prepare(const float* table, BoundScale& scale) {
        table_ = table;
        const TableSums sums = TableSums::of<256>(table, M_, least_.data());
        scale.prepare(sums.base, sums.magnitudes, M_, sections_.capacity() / kSaturation);
    }

    void quantize(float scale) {
        quantize_tables<TableOrder::kLabel>(table_, M_, least_.data(), {8, 2 * pairs_}, scale, bytes_.data());
    }
    void clear() { std::memset(bytes_.data(), 0, static_cast<size_t>(2 * pairs_ * 256)); }

    [[gnu::always_inline]] uint64_t bound(const uint8_t* a, const uint8_t* b, int limit, uint16_t* sums) const {
        const uint8_t* tables = bytes_.data();
        WideSums wide;
        for (int64_t pair = 0, s = 0; s < sections_.count; ++s) {
            __m512i first = _mm512_setzero_si512(), second = first;
            for (const int64_t end = sections_.ends[s]; pair < end; ++pair, a += 64, b += 64, tables += 512) {
                const PairCodes codes(a, b);
                first = _mm512_adds_epu8(first, LookUp<8>(codes.first).in(tables));
                second = _mm512_adds_epu8(second, LookUp<8>(codes.second).in(tables + 256));
            }
            wide.add(first);
            wide.add(second);
        }
        const __m512i even = wide.even(), odd = wide.odd(), most = _mm512_set1_epi16(static_cast<int16_t>(limit));
        store64(sums, even);
        store64(sums + 32, odd);
        const uint64_t of_even = _mm512_cmple_epi16_mask(even, most), of_odd = _mm512_cmple_epi16_mask(odd, most);
        if ((of_even | of_odd) == 0) return 0;
        return _pdep_u64(of_even, 0x5555555555555555ull) | _pdep_u64(of_odd, 0xaaaaaaaaaaaaaaaaull);
    }

    static int position(int row) { return (row >> 1) + (row & 1) * 32; }

  private:
    static constexpr int64_t kSectionPairs = 4;
    static constexpr double kSaturation = 2.0;  // sections saturate at twice their share of the limit

    const float* table_ = nullptr;
    int64_t M_, pairs_;
    Sections sections_;
    Buffer<float> least_;
    Buffer<uint8_t> bytes_;
};

}  // namespace
}  // namespace pqstore
