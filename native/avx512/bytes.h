// What scans need of AVX-512: float tables to bytes that never overestimate, and sums of bytes for many rows.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "avx2/prefetch.h"

namespace pqstore {
namespace {

inline __m512i load64(const void* p) { return _mm512_loadu_si512(p); }
inline void store64(void* p, __m512i v) { _mm512_storeu_si512(p, v); }

// 64 bytes floor(min(values * factor, 255)) of four registers, for values >= 0; NaN gives 255.
inline __m512i down_to_bytes(const __m512 values[4], __m512 factor) {
    // The product comes first: the minimum is its second operand if one is NaN.
    const auto whole = [&](int i) {
        return _mm512_cvttps_epi32(_mm512_min_ps(_mm512_mul_ps(values[i], factor), _mm512_set1_ps(255.0f)));
    };
    const __m512i packed =
        _mm512_packus_epi16(_mm512_packus_epi32(whole(0), whole(1)), _mm512_packus_epi32(whole(2), whole(3)));
    // Packing works within 128-bit lanes: this order undoes it.
    return _mm512_permutexvar_epi32(_mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15), packed);
}

// bytes[i] = floor(min(values[i] * scale, 255)), for values >= 0; NaN gives 255. `count` is a multiple of 32.
inline void quantize_down(const float* values, int64_t count, float scale, uint8_t* bytes) {
    const __m512 factor = _mm512_set1_ps(scale);
    const auto row = [&](int64_t i) { return i < count ? _mm512_loadu_ps(values + i) : _mm512_setzero_ps(); };
    for (int64_t i = 0; i < count; i += 64) {
        const __m512 four[4] = {row(i), row(i + 16), row(i + 32), row(i + 48)};
        const __m512i packed = down_to_bytes(four, factor);
        if (count - i >= 64) {
            store64(bytes + i, packed);
        } else {
            _mm256_storeu_si256(reinterpret_cast<__m256i*>(bytes + i), _mm512_castsi512_si256(packed));
        }
    }
}

// u8 sums of several sections, split into u16: of even and of odd bytes.
class WideSums {
  public:
    void add(__m512i bytes) {
        words_ = _mm512_add_epi16(words_, bytes);
        odd_ = _mm512_add_epi16(odd_, _mm512_srli_epi16(bytes, 8));
    }

    __m512i odd() const { return odd_; }

    // What the words hold, modulo 2^16, besides the odd sums in their high bytes.
    __m512i even() const { return _mm512_sub_epi16(words_, _mm512_slli_epi16(odd_, 8)); }

  private:
    __m512i words_ = _mm512_setzero_si512(), odd_ = words_;
};

// The sums of a block fill a register: even lanes before odd ones.
inline int sum_position(int lane) { return (lane >> 1) + (lane & 1) * 16; }

inline uint32_t lanes_within(__m512i sums, int most) {
    const uint32_t positions = _mm512_cmple_epi16_mask(sums, _mm512_set1_epi16(static_cast<int16_t>(most)));
    return _pdep_u32(positions, 0x55555555u) | _pdep_u32(positions >> 16, 0xaaaaaaaau);
}

// The lanes of a block whose u16 sum is not above the limit (compared as signed: sums stay below 32,768).
inline uint32_t lanes_within(const uint16_t* sums, int most) { return lanes_within(load64(sums), most); }

// How many sums of every `stride`-th block are not above the limit.
inline int64_t count_within(const uint16_t* sums, int64_t blocks, int64_t stride, int most) {
    const __m512i limit = _mm512_set1_epi16(static_cast<int16_t>(most));
    int64_t within = 0;
    for (int64_t block = 0; block < blocks; block += stride)
        within += __builtin_popcount(_mm512_cmple_epi16_mask(load64(sums + 32 * block), limit));
    return within;
}

}  // namespace
}  // namespace pqstore
