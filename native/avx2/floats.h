// Float32 numbers side by side in AVX2 registers: the primitives of an exact scan.
#pragma once

#include <immintrin.h>

#include <cmath>
#include <cstdint>

namespace pqstore {
namespace {

struct Avx2Floats {
    using Register = __m256;
    static constexpr int kLanes = 8;
    static constexpr int kQueries = 6, kVectors = 2;  // 12 sums, 2 registers of rows, 1 of a query

    static Register zero() { return _mm256_setzero_ps(); }
    static Register spread(float value) { return _mm256_set1_ps(value); }

    static Register load(const void* from) { return _mm256_loadu_ps(static_cast<const float*>(from)); }
    static Register load_some(const void* from, int64_t count) {
        const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
        const __m256i first = _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count)), lanes);
        return _mm256_maskload_ps(static_cast<const float*>(from), first);
    }
    static void store(float* to, Register values) { _mm256_storeu_ps(to, values); }

    static Register add(Register a, Register b) { return _mm256_add_ps(a, b); }
    static Register subtract(Register a, Register b) { return _mm256_sub_ps(a, b); }
    static Register multiply(Register a, Register b) { return _mm256_mul_ps(a, b); }
    static Register multiply_add(Register a, Register b, Register sum) { return _mm256_fmadd_ps(a, b, sum); }
    static Register root(Register a) { return _mm256_sqrt_ps(a); }
    static Register only_within(Register a, Register bound, float low, float high) {
        const __m256 within = _mm256_and_ps(_mm256_cmp_ps(bound, spread(low), _CMP_GE_OQ),
                                            _mm256_cmp_ps(bound, spread(high), _CMP_LE_OQ));
        return _mm256_blendv_ps(spread(NAN), a, within);
    }

    static uint32_t not_below(Register a, Register b) {
        return static_cast<uint32_t>(_mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_NLT_UQ)));
    }

    static Register sums(const Register rows[kLanes]) {
        const __m256 pairs[4] = {_mm256_hadd_ps(rows[0], rows[1]), _mm256_hadd_ps(rows[2], rows[3]),
                                 _mm256_hadd_ps(rows[4], rows[5]), _mm256_hadd_ps(rows[6], rows[7])};
        const __m256 low = _mm256_hadd_ps(pairs[0], pairs[1]), high = _mm256_hadd_ps(pairs[2], pairs[3]);
        return _mm256_add_ps(_mm256_permute2f128_ps(low, high, 0x20), _mm256_permute2f128_ps(low, high, 0x31));
    }

    static void transpose(Register rows[kLanes]) {
        __m256 pairs[8], quads[8];
        for (int i = 0; i < 8; i += 2) {
            pairs[i] = _mm256_unpacklo_ps(rows[i], rows[i + 1]);
            pairs[i + 1] = _mm256_unpackhi_ps(rows[i], rows[i + 1]);
        }
        for (int i = 0; i < 8; i += 4) {
            quads[i] = _mm256_shuffle_ps(pairs[i], pairs[i + 2], 0x44);
            quads[i + 1] = _mm256_shuffle_ps(pairs[i], pairs[i + 2], 0xee);
            quads[i + 2] = _mm256_shuffle_ps(pairs[i + 1], pairs[i + 3], 0x44);
            quads[i + 3] = _mm256_shuffle_ps(pairs[i + 1], pairs[i + 3], 0xee);
        }
        for (int i = 0; i < 4; ++i) {
            rows[i] = _mm256_permute2f128_ps(quads[i], quads[i + 4], 0x20);
            rows[i + 4] = _mm256_permute2f128_ps(quads[i], quads[i + 4], 0x31);
        }
    }
};

}  // namespace
}  // namespace pqstore
