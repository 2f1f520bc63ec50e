// Rows of codes to blocks of 32, 16 x 16 codes at a time.
#pragma once

#include <immintrin.h>

#include "avx2/transpose.h"
#include "common/blocks.h"

namespace pqstore {
namespace {

// Sub-spaces m .. m + 15 of 16 rows, one register each. Reads 16 bytes of every row.
inline void load_columns(const uint8_t* codes, int64_t M, int64_t m, __m128i* columns) {
    for (int i = 0; i < 16; ++i) columns[i] = _mm_loadu_si128(reinterpret_cast<const __m128i*>(codes + i * M + m));
    transpose_16x16(columns);
}

inline void pack_full_block(const Layout& layout, const uint8_t* codes, uint8_t* packed) {
    const int64_t M = layout.M;
    const auto store = [packed](int64_t offset, __m128i bytes) {
        _mm_storeu_si128(reinterpret_cast<__m128i*>(packed + offset), bytes);
    };
    for (int64_t first = 0; first < M; first += 16) {
        const int64_t count = std::min<int64_t>(16, M - first);
        __m128i upper[16], lower[16];
        load_columns(codes, M, first, upper);
        load_columns(codes + 16 * M, M, first, lower);
        for (int64_t i = 0; i < count; ++i) {
            const int64_t m = first + i;
            if (layout.kind == LayoutKind::kBlock8) {
                store(block8_offset(0, m), upper[i]);
                store(block8_offset(16, m), lower[i]);
            } else {
                const __m128i nibbles = _mm_and_si128(lower[i], _mm_set1_epi8(15));
                store(block4_offset(0, m), _mm_or_si128(upper[i], _mm_slli_epi16(nibbles, 4)));
            }
        }
    }
    if (M % 2 == 1) {
        const __m128i zeros = _mm_setzero_si128();
        store(layout.kind == LayoutKind::kBlock8 ? block8_offset(0, M) : block4_offset(0, M), zeros);
        if (layout.kind == LayoutKind::kBlock8) store(block8_offset(16, M), zeros);
    }
}

inline void pack_blocks_avx2(const Layout& layout, const uint8_t* codes, int64_t n, uint8_t* packed) {
    // The last 16 bytes that a block reads of its last row may be those of rows that follow, which must be there.
    const int64_t beyond = (layout.M + 15) / 16 * 16 - layout.M;
    const uint8_t* end = codes + n * layout.M;
    for (; n >= kBlockRows && end - codes >= kBlockRows * layout.M + beyond; n -= kBlockRows) {
        pack_full_block(layout, codes, packed);
        codes += kBlockRows * layout.M;
        packed += layout.block_bytes();
    }
    pack_blocks(layout, codes, n, packed);
}

}  // namespace
}  // namespace pqstore
