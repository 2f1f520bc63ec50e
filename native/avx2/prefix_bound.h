// The prefix bound of 8-bit codes: a lower bound on the distances of 32 rows from byte shuffles.
//
// Labels are arranged so that codewords with a common prefix are similar (pqstore/kernels/reference/labelling.py): the
// low nibble names one of 16 groups, bits 7, 6, 5, 4 its halves, quarters and so on. A bound of `bits` bits takes the
// least table entry of the 2^(8 - bits) codewords that share a prefix. Rounded down to bytes and added with saturation,
// these minima never exceed the distance.
#pragma once

#include <immintrin.h>

#include "avx2/bytes.h"
#include "common/bound_scale.h"
#include "common/buffer.h"
#include "contract.h"

namespace pqstore {
namespace {

// Bytes of the bound's tables for a pair of sub-spaces: 2^(bits - 4) shuffle tables, each for both.
constexpr int64_t pair_table_bytes(int bits) { return int64_t{2} << bits; }

// The bytes of `b` where the top bit of a byte of `bits` is set, else those of `a`. Written out because GCC, where `bits`
// serve two blends, first makes a mask of them.
inline __m256i blend(__m256i a, __m256i b, __m256i bits) {
    __m256i blended;
    asm("vpblendvb %3, %2, %1, %0" : "=x"(blended) : "x"(a), "xm"(b), "x"(bits));
    return blended;
}

// Table entries for the 32 codes in `codes`, 16 of each sub-space of a pair.
template <int kBits>
inline __m256i look_up(const uint8_t* tables, __m256i codes) {
    static_assert(kBits == 6 || kBits == 7);
    const __m256i group = _mm256_and_si256(codes, _mm256_set1_epi8(15));
    const auto shuffled = [&](int j) { return _mm256_shuffle_epi8(load(tables + 32 * j), group); };
    // A blend looks at the top bit of each byte; adding a byte to itself brings up the next.
    const __m256i second_bit = _mm256_add_epi8(codes, codes);
    if constexpr (kBits == 6) {
        return blend(blend(shuffled(0), shuffled(1), second_bit),
                                  blend(shuffled(2), shuffled(3), second_bit), codes);
    } else {
        const __m256i third_bit = _mm256_add_epi8(second_bit, second_bit);
        const auto eighths = [&](int j) { return blend(shuffled(j), shuffled(j + 1), third_bit); };
        return blend(blend(eighths(0), eighths(2), second_bit),
                                  blend(eighths(4), eighths(6), second_bit), codes);
    }
}

// The lanes of a block whose bound is not above the limit; their bounds go to `sums`, even vectors first, then odd.
template <int kBits>
[[gnu::always_inline]] inline uint32_t bound_block(const uint8_t* block, const uint8_t* tables,
                                                   const Sections& sections, int limit, uint16_t* sums) {
    WideSums wide;
    int64_t pair = 0;
    for (int64_t s = 0; s < sections.count; ++s) {
        __m256i first_half = _mm256_setzero_si256(), second_half = first_half;
        for (const int64_t end = sections.ends[s]; pair < end; ++pair) {
            first_half = _mm256_adds_epu8(first_half, look_up<kBits>(tables, load_unaligned(block)));
            second_half = _mm256_adds_epu8(second_half, look_up<kBits>(tables, load_unaligned(block + 32)));
            block += 64;
            tables += pair_table_bytes(kBits);
        }
        wide.add(first_half, second_half);
    }
    const __m256i even = wide.even(), odd = wide.odd();
    store_sums(sums, even, odd);
    return lanes_within(even, odd, limit);
}

// One query's tables, arranged for a bound of 6 or 7 bits. Float; PrefixBytes holds them scaled.
class PrefixTables {
  public:
    void prepare(const float* tables, int64_t M, int bits) {
        bits_ = bits;
        pairs_ = (M + 1) / 2;
        minima_.resize(static_cast<size_t>(pairs_ * pair_table_bytes(bits)));
        excesses_.resize(static_cast<size_t>(2 * pairs_ * 256));
        base_ = magnitudes_ = mean_ = 0;
        for (int64_t m = 0; m < M; ++m) prepare_subspace(tables + m * 256, m);
        if (M % 2) clear_padding(M);
    }

    // Least entries of groups, above the least entry of all: (pair, prefix, parity of m, group of 16).
    const float* minima() const { return minima_.data(); }
    int64_t minima_count() const { return pairs_ * pair_table_bytes(bits_); }
    // Entries above their group's least: (m, label).
    const float* excesses() const { return excesses_.data(); }
    int64_t excesses_count() const { return 2 * pairs_ * 256; }

    // The mean distance of a row whose codes are all equally likely.
    double mean() const { return mean_; }
    double base() const { return base_; }
    double magnitudes() const { return magnitudes_; }
    int bits() const { return bits_; }

  private:
    // A table is 16 rows of 16 by label: row = high nibble, column = low nibble, the group. Groups of rows share a
    // prefix.
    void prepare_subspace(const float* table, int64_t m) {
        const int prefixes = 1 << (bits_ - 4), rows = 16 / prefixes;
        float* minima = minima_.data() + m / 2 * pair_table_bytes(bits_) + m % 2 * 16;
        float* excesses = excesses_.data() + m * 256;
        __m256 least = _mm256_set1_ps(kInfinity), total = _mm256_setzero_ps();
        for (int prefix = 0; prefix < prefixes; ++prefix) {
            // The new value comes first: _mm256_min_ps returns its second operand if one is NaN.
            __m256 low = _mm256_set1_ps(kInfinity), high = low;
            const float* group = table + prefix * rows * 16;
            for (int row = 0; row < rows; ++row) {
                const __m256 low_row = _mm256_loadu_ps(group + 16 * row),
                             high_row = _mm256_loadu_ps(group + 16 * row + 8);
                low = _mm256_min_ps(low_row, low);
                high = _mm256_min_ps(high_row, high);
                total = _mm256_add_ps(total, _mm256_add_ps(low_row, high_row));
            }
            float* group_excesses = excesses + prefix * rows * 16;
            for (int row = 0; row < rows; ++row) {
                _mm256_store_ps(group_excesses + 16 * row, _mm256_sub_ps(_mm256_loadu_ps(group + 16 * row), low));
                _mm256_store_ps(group_excesses + 16 * row + 8,
                                _mm256_sub_ps(_mm256_loadu_ps(group + 16 * row + 8), high));
            }
            _mm256_store_ps(minima + 32 * prefix, low);
            _mm256_store_ps(minima + 32 * prefix + 8, high);
            least = _mm256_min_ps(least, _mm256_min_ps(low, high));
        }
        const float entry = least_of(least);
        for (int prefix = 0; prefix < prefixes; ++prefix)
            for (int part = 0; part < 2; ++part) {
                float* values = minima + 32 * prefix + 8 * part;
                _mm256_store_ps(values, _mm256_sub_ps(_mm256_load_ps(values), _mm256_set1_ps(entry)));
            }
        base_ += entry;
        mean_ += sum_of(total) / 256;
        magnitudes_ += std::fabs(static_cast<double>(entry));
    }

    // The sub-space that pads an odd M adds nothing, whatever its codes.
    void clear_padding(int64_t m) {
        float* minima = minima_.data() + m / 2 * pair_table_bytes(bits_) + 16;
        for (int prefix = 0; prefix < 1 << (bits_ - 4); ++prefix)
            std::fill(minima + 32 * prefix, minima + 32 * prefix + 16, 0.0f);
        std::fill(excesses_.data() + m * 256, excesses_.data() + (m + 1) * 256, 0.0f);
    }

    int bits_ = 0;
    int64_t pairs_ = 0;
    Buffer<float> minima_, excesses_;
    double base_ = 0, magnitudes_ = 0, mean_ = 0;
};

}  // namespace
}  // namespace pqstore
