// Float tables to bytes that never overestimate, and the sums of such bytes.
#pragma once

#include <arm_neon.h>

#include <cstdint>

namespace pqstore {
namespace {

// bytes[i] = floor(min(values[i] * scale, 255)), for values >= 0; NaN gives 0. `count` is a multiple of 16.
inline void quantize_down(const float* values, int64_t count, float scale, uint8_t* bytes) {
    for (int64_t i = 0; i < count; i += 16) {
        uint16x4_t words[4];
        for (int j = 0; j < 4; ++j)
            words[j] = vqmovn_u32(vcvtq_u32_f32(vmulq_n_f32(vld1q_f32(values + i + 4 * j), scale)));
        vst1q_u8(bytes + i, vcombine_u8(vqmovn_u16(vcombine_u16(words[0], words[1])),
                                        vqmovn_u16(vcombine_u16(words[2], words[3]))));
    }
}

// u16 sums of 32 rows, eight a register, in the order of the rows.
constexpr int kSumVectors = 4;

// Adds u8 sums of 16 rows to the u16 sums of the same rows.
inline void widen_add(uint8x16_t bytes, uint16x8_t sums[2]) {
    sums[0] = vaddw_u8(sums[0], vget_low_u8(bytes));
    sums[1] = vaddw_high_u8(sums[1], bytes);
}

inline void store_sums(uint16_t* to, const uint16x8_t sums[kSumVectors]) {
    for (int i = 0; i < kSumVectors; ++i) vst1q_u16(to + 8 * i, sums[i]);
}

// The lanes of a block whose u16 sum is not above the limit.
inline uint32_t lanes_within(const uint16x8_t sums[kSumVectors], uint16x8_t limit) {
    constexpr uint8_t kBitOfByte[16] = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
    const uint8x16_t bit_of_byte = vld1q_u8(kBitOfByte);
    const auto bits_of = [&](uint16x8_t first, uint16x8_t second) {
        const uint8x16_t first_within = vreinterpretq_u8_u16(vcleq_u16(first, limit));
        return vandq_u8(vuzp1q_u8(first_within, vreinterpretq_u8_u16(vcleq_u16(second, limit))), bit_of_byte);
    };
    // Three pairwise additions gather the bits of eight rows in a byte.
    uint8x16_t bits = vpaddq_u8(bits_of(sums[0], sums[1]), bits_of(sums[2], sums[3]));
    bits = vpaddq_u8(bits, bits);
    bits = vpaddq_u8(bits, bits);
    return vgetq_lane_u32(vreinterpretq_u32_u8(bits), 0);
}

}  // namespace
}  // namespace pqstore
