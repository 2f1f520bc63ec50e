// What scans need of AVX2: float tables to bytes that never overestimate, and sums of bytes for the 32 rows of a block.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "avx2/prefetch.h"

namespace pqstore {
namespace {

inline __m256i load(const void* p) { return _mm256_load_si256(static_cast<const __m256i*>(p)); }
inline __m256i load_unaligned(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }

inline float least_of(__m256 v) {
    v = _mm256_min_ps(v, _mm256_permute2f128_ps(v, v, 1));
    v = _mm256_min_ps(v, _mm256_shuffle_ps(v, v, 0x4e));
    v = _mm256_min_ps(v, _mm256_shuffle_ps(v, v, 0xb1));
    return _mm256_cvtss_f32(v);
}

inline double sum_of(__m256 v) {
    alignas(32) float lanes[8];
    _mm256_store_ps(lanes, v);
    double sum = 0;
    for (float lane : lanes) sum += lane;
    return sum;
}

// bytes[i] = floor(min(values[i] * scale, 255)), for values >= 0; NaN gives 255. `count` is a multiple of 32.
inline void quantize_down(const float* values, int64_t count, float scale, uint8_t* bytes) {
    const __m256 factor = _mm256_set1_ps(scale), most = _mm256_set1_ps(255.0f);
    // Packing works within 128-bit halves: this order undoes it.
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    for (int64_t i = 0; i < count; i += 32) {
        __m256i words[4];
        for (int j = 0; j < 4; ++j)
            words[j] =
                _mm256_cvttps_epi32(_mm256_min_ps(_mm256_mul_ps(_mm256_load_ps(values + i + 8 * j), factor), most));
        const __m256i low = _mm256_packus_epi32(words[0], words[1]), high = _mm256_packus_epi32(words[2], words[3]);
        const __m256i packed = _mm256_packus_epi16(low, high);
        _mm256_store_si256(reinterpret_cast<__m256i*>(bytes + i), _mm256_permutevar8x32_epi32(packed, order));
    }
}

// Splits u8 sums into u16: `a` holds vectors 0..15 and `b` vectors 16..31 of a block, each in the low half for one
// sub-space and in the high half for the other. Even vectors go to `even`, odd ones to `odd`. Moving halves is dear:
// one permutation and a blend bring them together.
inline void widen_add(__m256i a, __m256i b, __m256i& even, __m256i& odd) {
    const __m256i low_bytes = _mm256_set1_epi16(255);
    const __m256i x = _mm256_blend_epi32(a, b, 0xf0), y = _mm256_permute2x128_si256(a, b, 0x21);
    even = _mm256_add_epi16(even, _mm256_add_epi16(_mm256_and_si256(x, low_bytes), _mm256_and_si256(y, low_bytes)));
    odd = _mm256_add_epi16(odd, _mm256_add_epi16(_mm256_srli_epi16(x, 8), _mm256_srli_epi16(y, 8)));
}

// The same for many pairs of sums, with less to do for each of them, but four registers.
class WideSums {
  public:
    void add(__m256i a, __m256i b) {
        a_words_ = _mm256_add_epi16(a_words_, a);
        b_words_ = _mm256_add_epi16(b_words_, b);
        a_odd_ = _mm256_add_epi16(a_odd_, _mm256_srli_epi16(a, 8));
        b_odd_ = _mm256_add_epi16(b_odd_, _mm256_srli_epi16(b, 8));
    }

    __m256i odd() const { return join(a_odd_, b_odd_); }

    // What the words hold, modulo 2^16, besides the odd sums in their high bytes.
    __m256i even() const { return _mm256_sub_epi16(join(a_words_, b_words_), _mm256_slli_epi16(odd(), 8)); }

  private:
    static __m256i join(__m256i a, __m256i b) {
        return _mm256_add_epi16(_mm256_blend_epi32(a, b, 0xf0), _mm256_permute2x128_si256(a, b, 0x21));
    }

    __m256i a_words_ = _mm256_setzero_si256(), b_words_ = a_words_, a_odd_ = a_words_, b_odd_ = a_words_;
};

// Where the sum of a lane lies when the even sums are stored before the odd ones.
inline int sum_position(int lane) { return (lane >> 1) + (lane & 1) * 16; }

inline void store_sums(uint16_t* sums, __m256i even, __m256i odd) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(sums), even);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(sums + 16), odd);
}

// The lanes of a block whose u16 sum is not above the limit (compared as signed: sums stay below 32,768).
inline uint32_t lanes_within(__m256i even, __m256i odd, int most) {
    const __m256i limit = _mm256_set1_epi16(static_cast<int16_t>(most));
    const __m256i even_over = _mm256_cmpgt_epi16(even, limit), odd_over = _mm256_cmpgt_epi16(odd, limit);
    const __m256i over = _mm256_blendv_epi8(even_over, odd_over, _mm256_set1_epi16(static_cast<int16_t>(0xff00)));
    return ~static_cast<uint32_t>(_mm256_movemask_epi8(over));
}

inline uint32_t lanes_within(const uint16_t* sums, int most) {
    return lanes_within(load_unaligned(sums), load_unaligned(sums + 16), most);
}

// How many sums of every `stride`-th block are not above the limit.
inline int64_t count_within(const uint16_t* sums, int64_t blocks, int64_t stride, int most) {
    const __m256i limit = _mm256_set1_epi16(static_cast<int16_t>(most));
    int64_t within = 0;
    for (int64_t block = 0; block < blocks; block += stride) {
        const __m256i a = _mm256_cmpgt_epi16(load_unaligned(sums + 32 * block), limit);
        const __m256i b = _mm256_cmpgt_epi16(load_unaligned(sums + 32 * block + 16), limit);
        const auto over = static_cast<uint32_t>(_mm256_movemask_epi8(_mm256_packs_epi16(a, b)));
        within += 32 - __builtin_popcount(over);
    }
    return within;
}

}  // namespace
}  // namespace pqstore
