// The prefix bound of 8-bit codes: a lower bound on the distances of 32 rows from byte shuffles.
//
// Labels are arranged so that codewords with a common prefix are similar (pqstore/kernels/reference/labelling.py): the
// low nibble names one of 16 groups, bits 7, 6, 5, 4 its halves, quarters and so on. A bound of `bits` bits takes the
// least table entry of the 2^(8 - bits) codewords that share a prefix. Rounded down to bytes and added with saturation,
// these minima never exceed the distance.
#pragma once

#include <arm_neon.h>

#include <algorithm>
#include <cmath>

#include "common/bound_scale.h"
#include "common/buffer.h"
#include "contract.h"
#include "neon/bytes.h"

namespace pqstore {
namespace {

// Bytes of the bound's table for a sub-space.
constexpr int64_t table_bytes(int bits) { return int64_t{1} << bits; }

// Adds the entries of one sub-space for 32 codes: 16 from `codes` on to sums[0], 16 from `codes + 32` on to sums[1].
template <int kBits>
inline void add_entries(const uint8_t* table, const uint8_t* codes, uint8x16_t sums[2]) {
    static_assert(kBits == 6 || kBits == 7);
    const uint8x16x4_t low_half = vld1q_u8_x4(table);
    for (int half = 0; half < 2; ++half) {
        const uint8x16_t labels = vld1q_u8(codes + 32 * half);
        // The bits of the prefix come down to stand above those of the group.
        const uint8x16_t index = vsliq_n_u8(labels, vshrq_n_u8(labels, 12 - kBits), 4);
        uint8x16_t entries = vqtbl4q_u8(low_half, index);
        // One look-up reaches 64 bytes; the second leaves what the first found where its own index is out of range.
        if constexpr (kBits == 7)
            entries = vqtbx4q_u8(entries, vld1q_u8_x4(table + 64), vsubq_u8(index, vdupq_n_u8(64)));
        sums[half] = vqaddq_u8(sums[half], entries);
    }
}

// The lanes of a block whose bound is not above the limit; their bounds go to `sums`.
template <int kBits>
inline uint32_t bound_block(const uint8_t* block, const uint8_t* tables, const Sections& sections, int limit,
                            uint16_t* sums) {
    uint16x8_t totals[kSumVectors] = {};
    int64_t pair = 0;
    for (int64_t s = 0; s < sections.count; ++s) {
        // Of the first and the second sub-space of each pair, for rows 0..15 and rows 16..31.
        uint8x16_t first[2] = {}, second[2] = {};
        for (const int64_t end = sections.ends[s]; pair < end; ++pair) {
            add_entries<kBits>(tables, block, first);
            add_entries<kBits>(tables + table_bytes(kBits), block + 16, second);
            block += 64;
            tables += 2 * table_bytes(kBits);
        }
        for (int half = 0; half < 2; ++half) {
            widen_add(first[half], totals + 2 * half);
            widen_add(second[half], totals + 2 * half);
        }
    }
    store_sums(sums, totals);
    return lanes_within(totals, limit);
}

// One query's tables, arranged for a bound of 6 or 7 bits. Float; the scanner holds them scaled.
class PrefixTables {
  public:
    void prepare(const float* tables, int64_t M, int bits) {
        bits_ = bits;
        padded_M_ = (M + 1) / 2 * 2;
        minima_.resize(static_cast<size_t>(minima_count()));
        excesses_.resize(static_cast<size_t>(excesses_count()));
        base_ = magnitudes_ = mean_ = 0;
        for (int64_t m = 0; m < M; ++m) prepare_subspace(tables + m * 256, m);
        // The sub-space that pads an odd M adds nothing, whatever its codes.
        std::fill(minima_.data() + M * table_bytes(bits), minima_.data() + minima_count(), 0.0f);
        std::fill(excesses_.data() + M * 256, excesses_.data() + excesses_count(), 0.0f);
    }

    // Least entries of groups, above the least entry of all: (m, prefix, group of 16).
    const float* minima() const { return minima_.data(); }
    int64_t minima_count() const { return padded_M_ * table_bytes(bits_); }
    // Entries above their group's least: (m, label).
    const float* excesses() const { return excesses_.data(); }
    int64_t excesses_count() const { return padded_M_ * 256; }

    // The mean distance of a row whose codes are all equally likely.
    double mean() const { return mean_; }
    double base() const { return base_; }
    double magnitudes() const { return magnitudes_; }
    int bits() const { return bits_; }

  private:
    // A table is 16 rows of 16 by label: row = high nibble, column = low nibble, the group. Groups of rows share a
    // prefix.
    void prepare_subspace(const float* table, int64_t m) {
        const int64_t size = table_bytes(bits_), rows = 256 / size;
        float* minima = minima_.data() + m * size;
        float* excesses = excesses_.data() + m * 256;
        float32x4_t least = vdupq_n_f32(kInfinity), total = vdupq_n_f32(0);
        for (int64_t column = 0; column < size; column += 4) {
            const int64_t first = column / 16 * 16 * rows + column % 16;
            // Of a number and a NaN, vminnm takes the number.
            float32x4_t low = vdupq_n_f32(kInfinity);
            for (int64_t row = 0; row < rows; ++row) {
                const float32x4_t entries = vld1q_f32(table + first + 16 * row);
                low = vminnmq_f32(low, entries);
                total = vaddq_f32(total, entries);
            }
            for (int64_t row = 0; row < rows; ++row)
                vst1q_f32(excesses + first + 16 * row, vsubq_f32(vld1q_f32(table + first + 16 * row), low));
            vst1q_f32(minima + column, low);
            least = vminnmq_f32(least, low);
        }
        const float entry = vminnmvq_f32(least);
        for (int64_t i = 0; i < size; i += 4)
            vst1q_f32(minima + i, vsubq_f32(vld1q_f32(minima + i), vdupq_n_f32(entry)));
        base_ += entry;
        mean_ += static_cast<double>(vaddvq_f32(total)) / 256;
        magnitudes_ += std::fabs(static_cast<double>(entry));
    }

    int bits_ = 0;
    int64_t padded_M_ = 0;
    Buffer<float> minima_, excesses_;
    double base_ = 0, magnitudes_ = 0, mean_ = 0;
};

}  // namespace
}  // namespace pqstore
