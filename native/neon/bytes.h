// What scans need of NEON: float tables to bytes that never overestimate, and sums of bytes for the 32 rows of a block.
#pragma once

#include <arm_neon.h>

#include <cstdint>

namespace pqstore {
namespace {

constexpr int64_t kPrefetchBytes = 4096;  // how far ahead: beyond the page that hardware looks at

// Asks for `size` bytes that lie `ahead` bytes beyond `codes`. They may lie beyond the codes: a prefetch never faults.
inline void prefetch(const uint8_t* codes, int64_t ahead, int64_t size) {
    const uintptr_t first = reinterpret_cast<uintptr_t>(codes) + static_cast<uintptr_t>(ahead);
    for (uintptr_t line = 0; line < static_cast<uintptr_t>(size); line += 64)
        __builtin_prefetch(reinterpret_cast<const void*>(first + line));
}

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

// Where the sum of a lane is stored.
inline int sum_position(int lane) { return lane; }

// Adds u8 sums of 16 rows to the u16 sums of the same rows.
inline void widen_add(uint8x16_t bytes, uint16x8_t sums[2]) {
    sums[0] = vaddw_u8(sums[0], vget_low_u8(bytes));
    sums[1] = vaddw_high_u8(sums[1], bytes);
}

inline void store_sums(uint16_t* to, const uint16x8_t sums[kSumVectors]) {
    for (int i = 0; i < kSumVectors; ++i) vst1q_u16(to + 8 * i, sums[i]);
}

// All bits of the sums that are not above the limit (compared as signed: sums stay below 32,768).
inline uint8x16_t within(uint16x8_t sums, int limit) {
    return vreinterpretq_u8_u16(vcleq_s16(vreinterpretq_s16_u16(sums), vdupq_n_s16(static_cast<int16_t>(limit))));
}

// The lanes of a block whose u16 sum is not above the limit.
inline uint32_t lanes_within(const uint16x8_t sums[kSumVectors], int limit) {
    constexpr uint8_t kBitOfByte[16] = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
    const uint8x16_t bit_of_byte = vld1q_u8(kBitOfByte);
    const uint8x16_t first = vandq_u8(vuzp1q_u8(within(sums[0], limit), within(sums[1], limit)), bit_of_byte);
    const uint8x16_t second = vandq_u8(vuzp1q_u8(within(sums[2], limit), within(sums[3], limit)), bit_of_byte);
    // Three pairwise additions gather the bits of eight rows in a byte.
    uint8x16_t bits = vpaddq_u8(first, second);
    bits = vpaddq_u8(bits, bits);
    bits = vpaddq_u8(bits, bits);
    return vgetq_lane_u32(vreinterpretq_u32_u8(bits), 0);
}

inline uint32_t lanes_within(const uint16_t* sums, int limit) {
    const uint16x8_t loaded[kSumVectors] = {vld1q_u16(sums), vld1q_u16(sums + 8), vld1q_u16(sums + 16),
                                            vld1q_u16(sums + 24)};
    return lanes_within(loaded, limit);
}

// How many sums of every `stride`-th block are not above the limit.
inline int64_t count_within(const uint16_t* sums, int64_t blocks, int64_t stride, int limit) {
    int64_t count = 0;
    for (int64_t block = 0; block < blocks; block += stride) {
        int8x16_t minus_counts = vdupq_n_s8(0);
        for (int i = 0; i < 32; i += 8)
            minus_counts = vaddq_s8(minus_counts, vreinterpretq_s8_u8(within(vld1q_u16(sums + 32 * block + i), limit)));
        count -= vaddvq_s8(minus_counts) / 2;  // two bytes a sum
    }
    return count;
}

}  // namespace
}  // namespace pqstore
