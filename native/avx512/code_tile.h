// A tile of rows, made ready for many queries once: in columns, as indices of look-ups, and in rows, for exact sums.
#pragma once

#include <immintrin.h>

#include <algorithm>
#include <cstdint>

#include "avx512/groups.h"
#include "avx512/look_up.h"
#include "avx512/nibble_bound.h"
#include "common/buffer.h"
#include "contract.h"

namespace pqstore {
namespace {

// 8-bit codes: the indices are those of LookUp.
struct ByteCodes {
    static constexpr int64_t kTableSize = 256;

    // Indices of two blocks: 64 bytes for each of 2 * pairs sub-spaces.
    static void fill_indices(const uint8_t* a, const uint8_t* b, int64_t pairs, uint8_t* indices) {
        for (int64_t pair = 0; pair < pairs; ++pair, indices += 128) {
            const PairCodes codes(a + 64 * pair, b + 64 * pair);
            store64(indices, prefix_first(codes.first));
            store64(indices + 64, prefix_first(codes.second));
        }
    }

    static __m512i codes_of(__m512i indices) { return prefix_back(indices); }
};

// 4-bit codes, a byte each. Entries of four sub-spaces lie in one register, so an index begins with the place of its
// sub-space among four.
struct NibbleCodes {
    static constexpr int64_t kTableSize = 16;

    static void fill_indices(const uint8_t* a, const uint8_t* b, int64_t pairs, uint8_t* indices) {
        for (int64_t pair = 0; pair < pairs; ++pair, indices += 128) {
            const auto half = [](const uint8_t* from) {
                return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
            };
            const __m512i codes =
                _mm512_inserti64x4(_mm512_castsi256_si512(half(a + 32 * pair)), half(b + 32 * pair), 1);
            // Low nibbles are rows 0..15 of each block, high ones 16..31.
            const __m512i low = low_nibbles(codes), high = high_nibbles(codes);
            const __m512i first = _mm512_shuffle_i64x2(low, high, 0x88), second = _mm512_shuffle_i64x2(low, high, 0xdd);
            const auto place = [pair](int of_two) {
                return _mm512_set1_epi8(static_cast<char>(pair % 2 * 32 + of_two * 16));
            };
            store64(indices, _mm512_or_si512(_mm512_shuffle_i64x2(first, first, 0xd8), place(0)));
            store64(indices + 64, _mm512_or_si512(_mm512_shuffle_i64x2(second, second, 0xd8), place(1)));
        }
    }

    static __m512i codes_of(__m512i indices) { return low_nibbles(indices); }
};

// 16 x 16 bytes turned in each of four lanes; see avx2/transpose.h.
[[gnu::always_inline]] inline void transpose_lanes(__m512i rows[16]) {
    __m512i other[16];
    for (int round = 0; round < 2; ++round) {
        for (int i = 0; i < 8; ++i) {
            other[2 * i] = _mm512_unpacklo_epi8(rows[i], rows[i + 8]);
            other[2 * i + 1] = _mm512_unpackhi_epi8(rows[i], rows[i + 8]);
        }
        for (int i = 0; i < 8; ++i) {
            rows[2 * i] = _mm512_unpacklo_epi8(other[i], other[i + 8]);
            rows[2 * i + 1] = _mm512_unpackhi_epi8(other[i], other[i + 8]);
        }
    }
}

template <typename Codes>
class CodeTile {
  public:
    // `turned`: whether rows are made too.
    CodeTile(const Layout& layout, bool turned)
        : pairs_(layout.pairs()),
          block_bytes_(layout.block_bytes()),
          row_bytes_((2 * pairs_ + 15) / 16 * 16),
          most_groups_(std::clamp<int64_t>(kBytes / (128 * pairs_), 1, kMostGroups)),
          turned_(turned),
          indices_(static_cast<size_t>(most_groups_ * 128 * pairs_)),
          rows_(static_cast<size_t>(turned ? most_groups_ * 64 * row_bytes_ : 0)) {}

    static constexpr int64_t kMostGroups = 1024;

    int64_t most_blocks() const { return 2 * most_groups_; }
    bool turned() const { return turned_; }
    int64_t row_bytes() const { return row_bytes_; }

    // `piece`: at most most_blocks() blocks.
    void fill(const Piece& piece) {
        piece_ = piece;
        groups_ = 0;
        visit_groups(piece, [&](const Group& next) {
            uint8_t* indices = indices_.data() + groups_ * 128 * pairs_;
            Codes::fill_indices(next.first(block_bytes_), next.second(block_bytes_), pairs_, indices);
            if (turned_) fill_rows(indices, rows_.data() + groups_ * 64 * row_bytes_);
            ++groups_;
        });
    }

    int64_t groups() const { return groups_; }

    Group group(int64_t number) const { return group_of(piece_, number); }

    // Of 64 rows: 64 bytes a sub-space.
    const uint8_t* indices(int64_t group) const { return indices_.data() + group * 128 * pairs_; }

    // The codes of one row side by side; row_bytes() of them, of which the last ones mean nothing.
    const uint8_t* row(int64_t number) const { return rows_.data() + number * row_bytes_; }

  private:
    static constexpr int64_t kBytes = 256 << 10;  // of indices: they stay in the second-level cache

    // 64 rows out of their columns.
    void fill_rows(const uint8_t* indices, uint8_t* rows) const {
        for (int64_t first = 0; first < 2 * pairs_; first += 16) {
            __m512i turned[16];
            for (int64_t m = 0; m < 16; ++m)
                turned[m] = first + m < 2 * pairs_ ? Codes::codes_of(load64(indices + 64 * (first + m)))
                                                   : _mm512_setzero_si512();
            transpose_lanes(turned);
            for (int r = 0; r < 16; ++r) {
                uint8_t* to = rows + r * row_bytes_ + first;
                const auto store = [&](int lane, __m128i codes) {
                    _mm_storeu_si128(reinterpret_cast<__m128i*>(to + 16 * lane * row_bytes_), codes);
                };
                store(0, _mm512_castsi512_si128(turned[r]));
                store(1, _mm512_extracti32x4_epi32(turned[r], 1));
                store(2, _mm512_extracti32x4_epi32(turned[r], 2));
                store(3, _mm512_extracti32x4_epi32(turned[r], 3));
            }
        }
    }

    int64_t pairs_, block_bytes_, row_bytes_, most_groups_;
    bool turned_;
    Piece piece_{};
    int64_t groups_ = 0;
    Buffer<uint8_t> indices_, rows_;
};

}  // namespace
}  // namespace pqstore
