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

// What depends on the codes alone. `indices`: prefix_first(codes), or the codes where the tables are in their order.
template <int kBits>
struct LookUp {
    __m512i indices;
    __mmask64 seventh = 0, eighth = 0;  // rows whose index has this bit

    explicit LookUp(__m512i rows) : indices(rows) {
        if constexpr (kBits == 8) {
            eighth = _mm512_movepi8_mask(indices);
            seventh = _mm512_movepi8_mask(_mm512_add_epi8(indices, indices));
        }
    }

    [[gnu::always_inline]] __m512i in(const uint8_t* tables) const {
        // Of four tables, masked permutations are quicker than those of two tables; and the masks serve all queries.
        const auto either = [&](int first, __mmask64 bit, int second) __attribute__((always_inline)) {
            return _mm512_mask_permutexvar_epi8(_mm512_permutexvar_epi8(indices, load64(tables + 64 * first)), bit,
                                                indices, load64(tables + 64 * second));
        };
        if constexpr (kBits == 6) return _mm512_permutexvar_epi8(indices, load64(tables));
        if constexpr (kBits == 7) return _mm512_permutex2var_epi8(load64(tables), indices, load64(tables + 64));
        if constexpr (kBits == 8) return _mm512_mask_blend_epi8(eighth, either(0, seventh, 1), either(2, seventh, 3));
    }
};

}  // namespace
}  // namespace pqstore
