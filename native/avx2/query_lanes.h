// What is done to the bytes and the 16-bit sums of up to 32 queries at once.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace pqstore {
namespace {

// Which of 16 sums are above the limit at the same place.
inline __m256i above(const uint16_t* sums, const uint16_t* limits) {
    return _mm256_cmpgt_epi16(_mm256_load_si256(reinterpret_cast<const __m256i*>(sums)),
                              _mm256_load_si256(reinterpret_cast<const __m256i*>(limits)));
}

// Bytes of kQueries queries in one register, and 16-bit sums of as many in two.
template <int kQueries>
struct QueryLanes;

template <>
struct QueryLanes<32> {
    using Register = __m256i;
    static Register load(const uint8_t* p) { return _mm256_load_si256(reinterpret_cast<const __m256i*>(p)); }
    static void store(uint8_t* p, Register r) { _mm256_store_si256(reinterpret_cast<__m256i*>(p), r); }
    static Register add(Register a, Register b) { return _mm256_adds_epu8(a, b); }

    static uint32_t within(Register sums, Register limit) {
        return static_cast<uint32_t>(_mm256_movemask_epi8(_mm256_cmpeq_epi8(_mm256_min_epu8(sums, limit), sums)));
    }
    static Register bytes(int value) { return _mm256_set1_epi8(static_cast<char>(value)); }

    // The order of queries within wide sums is that of the unpacking, which `wide_within` undoes.
    static int lane_of(int query) { return (query & 7) | (query & 8) << 1 | (query & 16) >> 1; }
    static void wide_add(uint16_t* wide, Register r, bool first) {
        auto* to = reinterpret_cast<__m256i*>(wide);
        const __m256i zero = _mm256_setzero_si256(), low = _mm256_unpacklo_epi8(r, zero),
                      high = _mm256_unpackhi_epi8(r, zero);
        _mm256_store_si256(to, first ? low : _mm256_add_epi16(_mm256_load_si256(to), low));
        _mm256_store_si256(to + 1, first ? high : _mm256_add_epi16(_mm256_load_si256(to + 1), high));
    }
    static uint32_t wide_within(const uint16_t* wide, const uint16_t* limits) {
        const __m256i low = above(wide, limits), high = above(wide + 16, limits + 16);
        return ~static_cast<uint32_t>(_mm256_movemask_epi8(_mm256_packs_epi16(low, high)));
    }
};

template <>
struct QueryLanes<16> {
    using Register = __m128i;
    static Register load(const uint8_t* p) { return _mm_load_si128(reinterpret_cast<const __m128i*>(p)); }
    static void store(uint8_t* p, Register r) { _mm_store_si128(reinterpret_cast<__m128i*>(p), r); }
    static Register add(Register a, Register b) { return _mm_adds_epu8(a, b); }

    static uint32_t within(Register sums, Register limit) {
        return static_cast<uint32_t>(_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_min_epu8(sums, limit), sums)));
    }
    static Register bytes(int value) { return _mm_set1_epi8(static_cast<char>(value)); }

    static int lane_of(int query) { return query; }
    static void wide_add(uint16_t* wide, Register r, bool first) {
        auto* to = reinterpret_cast<__m256i*>(wide);
        const __m256i widened = _mm256_cvtepu8_epi16(r);
        _mm256_store_si256(to, first ? widened : _mm256_add_epi16(_mm256_load_si256(to), widened));
    }
    static uint32_t wide_within(const uint16_t* wide, const uint16_t* limits) {
        const __m256i over = above(wide, limits);
        const __m128i packed = _mm_packs_epi16(_mm256_castsi256_si128(over), _mm256_extracti128_si256(over, 1));
        return ~static_cast<uint32_t>(_mm_movemask_epi8(packed)) & 0xffff;
    }
};

// Eight queries: the upper halves of registers are zero, or ignored.
template <>
struct QueryLanes<8> : QueryLanes<16> {
    static Register load(const uint8_t* p) { return _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)); }
    static void store(uint8_t* p, Register r) { _mm_storel_epi64(reinterpret_cast<__m128i*>(p), r); }
    static uint32_t within(Register sums, Register limit) { return QueryLanes<16>::within(sums, limit) & 0xff; }

    static void wide_add(uint16_t* wide, Register r, bool first) {
        auto* to = reinterpret_cast<__m128i*>(wide);
        const __m128i widened = _mm_cvtepu8_epi16(r);
        _mm_store_si128(to, first ? widened : _mm_add_epi16(_mm_load_si128(to), widened));
    }
    static uint32_t wide_within(const uint16_t* wide, const uint16_t* limits) {
        const __m128i over = _mm_cmpgt_epi16(_mm_load_si128(reinterpret_cast<const __m128i*>(wide)),
                                             _mm_load_si128(reinterpret_cast<const __m128i*>(limits)));
        return ~static_cast<uint32_t>(_mm_movemask_epi8(_mm_packs_epi16(over, over))) & 0xff;
    }
};

}  // namespace
}  // namespace pqstore
