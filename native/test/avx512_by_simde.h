// AVX-512 for processors without it: SIMDe (simde-py 0.8.2 on PyPI) writes its intrinsics in terms of AVX2. Included
// before everything else by native/check_avx512.sh; no build of the package knows it.
#pragma once

#include <cstring>

#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx2.h>
#include <simde/x86/avx512.h>
#include <simde/x86/fma.h>
#include <simde/x86/gfni.h>

namespace simulated {

// What SIMDe lacks.

inline float reduced(__m512 v, bool least) {
    float lanes[16];
    simde_mm512_storeu_ps(lanes, v);
    for (int width = 8; width > 0; width /= 2)
        for (int i = 0; i < width; ++i) {
            const float a = lanes[i], b = lanes[i + width];
            lanes[i] = least ? (a < b ? a : b) : a + b;
        }
    return lanes[0];
}

inline __m512i zero_extended(__m256i v) { return simde_mm512_inserti64x4(simde_mm512_setzero_si512(), v, 0); }

// What it does to all lanes, though the processor leaves those outside the mask alone: their memory may not be there.

inline __m512 loaded(unsigned mask, const void* from) {
    float lanes[16] = {};
    for (int i = 0; i < 16; ++i)
        if (mask >> i & 1) std::memcpy(lanes + i, static_cast<const char*>(from) + 4 * i, 4);
    return simde_mm512_loadu_ps(lanes);
}

inline void store_floats(void* to, unsigned mask, __m512 v) {
    float lanes[16];
    simde_mm512_storeu_ps(lanes, v);
    for (int i = 0; i < 16; ++i)
        if (mask >> i & 1) std::memcpy(static_cast<char*>(to) + 4 * i, lanes + i, 4);
}

inline void store_words(void* to, unsigned mask, __m256i v) {
    short lanes[16];
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(lanes), v);
    for (int i = 0; i < 16; ++i)
        if (mask >> i & 1) std::memcpy(static_cast<char*>(to) + 2 * i, lanes + i, 2);
}

}  // namespace simulated

#undef _mm512_reduce_add_ps
#undef _mm512_reduce_min_ps
#undef _mm512_zextsi256_si512
#undef _mm512_maskz_loadu_ps
#undef _mm512_mask_storeu_ps
#undef _mm256_mask_storeu_epi16
#define _mm512_reduce_add_ps(v) simulated::reduced(v, false)
#define _mm512_reduce_min_ps(v) simulated::reduced(v, true)
#define _mm512_zextsi256_si512 simulated::zero_extended
#define _mm512_maskz_loadu_ps simulated::loaded
#define _mm512_mask_storeu_ps simulated::store_floats
#define _mm256_mask_storeu_epi16 simulated::store_words
