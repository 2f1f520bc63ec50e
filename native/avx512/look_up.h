// Table entries of 64 rows in one sub-space, by permutations of 64 bytes.
#pragma once

#include <immintrin.h>

#include "avx512/byte_tables.h"

namespace pqstore {
namespace {

// The codes of a pair of sub-spaces of two blocks: each register holds one sub-space of 64 rows, in their order.
struct PairCodes {
    __m512i first, second;

    PairCodes(const uint8_t* a, const uint8_t* b) {
        const __m512i codes_a = load64(a), codes_b = load64(b);
        first = _mm512_shuffle_i64x2(codes_a, codes_b, 0x88);
        second = _mm512_shuffle_i64x2(codes_a, codes_b, 0xdd);
    }
};

// What depends on the codes alone. `indices` come from prefix_first.
template <int kBits>
struct LookUp {
    __m512i indices;
    __mmask64 second, third, fourth;  // rows that look into these tables

    explicit LookUp(__m512i prefixes) : indices(prefixes), second(0), third(0), fourth(0) {
        if constexpr (kBits == 7) second = _mm512_movepi8_mask(indices);
        if constexpr (kBits == 8) {
            const __mmask64 high = _mm512_movepi8_mask(indices),
                            low = _mm512_movepi8_mask(_mm512_add_epi8(indices, indices));
            second = _kandn_mask64(high, low);
            third = _kandn_mask64(low, high);
            fourth = _kand_mask64(high, low);
        }
    }

    [[gnu::always_inline]] __m512i in(const uint8_t* tables) const {
        const auto and_in = [&](__m512i entries, __mmask64 rows, int table) __attribute__((always_inline)) {
            return _mm512_mask_permutexvar_epi8(entries, rows, indices, load64(tables + 64 * table));
        };
        __m512i entries = _mm512_permutexvar_epi8(indices, load64(tables));
        if constexpr (kBits >= 7) entries = and_in(entries, second, 1);
        if constexpr (kBits == 8) entries = and_in(and_in(entries, third, 2), fourth, 3);
        return entries;
    }
};

}  // namespace
}  // namespace pqstore
