// Bounds of 64 rows for several queries at once: what depends on the codes alone is done once for all of them.
//
// Sums are bytes. Where sub-spaces are many they are summed in parts, and the parts' averages, rounded up, are
// averaged.
#pragma once

#include <immintrin.h>

#include <algorithm>
#include <cstdint>

#include "avx512/code_tile.h"

namespace pqstore {
namespace {

// How the sub-spaces of a bound are divided.
struct BoundShape {
    int64_t M;  // even
    int parts;  // 1, 2, 4 or 8
    BoundBits bits;

    // Few sub-spaces fit into one byte.
    static int parts_of(int64_t M) {
        if (M <= 20) return 1;
        return M <= 40 ? 2 : 8;
    }

    // Units of the limit. Of one part, saturated at 255 it is beyond any limit; more saturate at so many times their
    // share of it.
    double units() const { return parts == 1 ? 253 : parts == 2 ? 255 * 2 / 1.5 : 255 * parts / 1.75; }

    // No row within so many units has a sum above this: each averaging adds half a unit at most.
    int byte_limit(int limit_units) const {
        const double depth = parts == 1 ? 0 : parts == 2 ? 1 : parts == 4 ? 2 : 3;
        return std::min(255, static_cast<int>(static_cast<double>(limit_units) / parts + 0.5 * depth + 0.5));
    }
};

template <typename Codes, int kQueries>
struct BatchBound;

// `tables`: the bytes of each query, in the order of BoundBits. kHigh is shape.bits.high, or 0 for 4-bit codes.
template <int kQueries>
struct BatchBound<ByteCodes, kQueries> {
    template <int kBits>
    [[gnu::always_inline]] static void add(const uint8_t* indices, int64_t first, int64_t end, int64_t offset,
                                           const uint8_t* const (&tables)[kQueries], __m512i (&sums)[kQueries]) {
        for (int64_t m = first; m < end; ++m, offset += 1 << kBits) {
            const LookUp<kBits> look_up(load64(indices + 64 * m));
            for (int q = 0; q < kQueries; ++q) sums[q] = _mm512_adds_epu8(sums[q], look_up.in(tables[q] + offset));
        }
    }

    template <int kHigh>
    [[gnu::always_inline]] static void sum(const BoundShape& shape, const uint8_t* indices, int64_t first, int64_t end,
                                           const uint8_t* const (&tables)[kQueries], __m512i (&sums)[kQueries]) {
        const int64_t middle = std::clamp(shape.bits.split, first, end);
        add<kHigh>(indices, first, middle, shape.bits.offset(first), tables, sums);
        add<kHigh - 1>(indices, middle, end, shape.bits.offset(middle), tables, sums);
    }
};

template <int kQueries>
struct BatchBound<NibbleCodes, kQueries> {
    template <int kHigh>
    [[gnu::always_inline]] static void sum(const BoundShape&, const uint8_t* indices, int64_t first, int64_t end,
                                           const uint8_t* const (&tables)[kQueries], __m512i (&sums)[kQueries]) {
        __m512i four_tables[kQueries];
        const auto load_tables = [&](int64_t m) __attribute__((always_inline)) {
            for (int q = 0; q < kQueries; ++q) four_tables[q] = load64(tables[q] + 16 * (m & ~int64_t{3}));
        };
        const auto add = [&](int64_t m) __attribute__((always_inline)) {
            const __m512i rows = load64(indices + 64 * m);
            for (int q = 0; q < kQueries; ++q)
                sums[q] = _mm512_adds_epu8(sums[q], _mm512_permutexvar_epi8(rows, four_tables[q]));
        };
        int64_t m = first;
        if (m % 4 != 0) load_tables(m);
        for (; m % 4 != 0 && m < end; ++m) add(m);
        for (; m + 4 <= end; m += 4) {
            load_tables(m);
            for (int i = 0; i < 4; ++i) add(m + i);
        }
        if (m < end) load_tables(m);
        for (; m < end; ++m) add(m);
    }
};

// The sums of kParts parts, from part `first` on.
template <typename Codes, int kHigh, int kParts, int kQueries>
[[gnu::always_inline]] inline void sum_parts(const BoundShape& shape, const uint8_t* indices, int first,
                                             const uint8_t* const (&tables)[kQueries], __m512i (&sums)[kQueries]) {
    if constexpr (kParts == 1) {
        for (__m512i& sum : sums) sum = _mm512_setzero_si512();
        BatchBound<Codes, kQueries>::template sum<kHigh>(shape, indices, shape.M * first / shape.parts,
                                                         shape.M * (first + 1) / shape.parts, tables, sums);
    } else {
        __m512i others[kQueries];
        sum_parts<Codes, kHigh, kParts / 2>(shape, indices, first, tables, sums);
        sum_parts<Codes, kHigh, kParts / 2>(shape, indices, first + kParts / 2, tables, others);
        for (int q = 0; q < kQueries; ++q) sums[q] = _mm512_avg_epu8(sums[q], others[q]);
    }
}

// Calls visit(group, sums) for every `step`-th group of a tile.
template <typename Codes, int kHigh, int kParts, int kQueries, typename Visit>
[[gnu::always_inline]] inline void sum_groups(const BoundShape& shape, const CodeTile<Codes>& tile, int64_t step,
                                              const uint8_t* const (&tables)[kQueries], const Visit& visit) {
    for (int64_t group = 0; group < tile.groups(); group += step) {
        __m512i sums[kQueries];
        sum_parts<Codes, kHigh, kParts>(shape, tile.indices(group), 0, tables, sums);
        visit(group, sums);
    }
}

// Calls run<kHigh, kParts>() for a shape.
template <typename Codes, typename Run>
void with_constants(const BoundShape& shape, const Run& run) {
    const auto with_parts = [&](auto high) {
        switch (shape.parts) {
            case 1: return run(high, std::integral_constant<int, 1>{});
            case 2: return run(high, std::integral_constant<int, 2>{});
            case 4: return run(high, std::integral_constant<int, 4>{});
            default: return run(high, std::integral_constant<int, 8>{});
        }
    };
    if constexpr (Codes::kTableSize == 256) {
        return shape.bits.high == 8 ? with_parts(std::integral_constant<int, 8>{})
                                    : with_parts(std::integral_constant<int, 7>{});
    } else {
        return with_parts(std::integral_constant<int, 0>{});
    }
}

}  // namespace
}  // namespace pqstore
