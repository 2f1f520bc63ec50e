// CRC-32 by folding: carry-less products move 64 bytes of the message at a time towards its end.
//
// After V. Gopal and others, "Fast CRC Computation for Generic Polynomials Using PCLMULQDQ Instruction" (Intel, 2009),
// with the bits reflected as zlib has them. A constant for a distance of n bits is x^n mod P, reflected and shifted by
// one.
#include <immintrin.h>

#include "services/crc32.h"

namespace pqstore {
namespace {

constexpr uint64_t kPolynomial = 0x104c11db7;  // IEEE 802.3, highest power first

// x^n mod P, its 32 bits reflected, shifted left by one: what a reflected carry-less product needs.
constexpr uint64_t fold_constant(int n) {
    uint64_t remainder = 1;
    for (int i = 0; i < n; ++i) {
        remainder <<= 1;
        if (remainder >> 32) remainder ^= kPolynomial;
    }
    uint64_t reflected = 0;
    for (int bit = 0; bit < 32; ++bit) reflected |= (remainder >> bit & 1) << (31 - bit);
    return reflected << 1;
}

inline __m128i load(const uint8_t* bytes) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes)); }

// Moves 128 bits forward by the distance that `constants` stand for, onto `next`.
inline __m128i fold(__m128i value, __m128i constants, __m128i next) {
    const __m128i low = _mm_clmulepi64_si128(value, constants, 0x00),
                  high = _mm_clmulepi64_si128(value, constants, 0x11);
    return _mm_xor_si128(_mm_xor_si128(low, high), next);
}

// Constants for a fold over `bits`: the low 64 bits of the value lie 64 bits farther from the end than the high ones.
template <int kBits>
inline __m128i fold_constants() {
    constexpr uint64_t low = fold_constant(kBits + 32), high = fold_constant(kBits - 32);
    return _mm_set_epi64x(static_cast<int64_t>(high), static_cast<int64_t>(low));
}

}  // namespace

bool crc32_can_fold() { return __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("sse4.1"); }

size_t crc32_fold(const uint8_t* bytes, size_t size, uint32_t state, uint8_t remainder[16]) {
    const size_t whole = size / 64 * 64;
    __m128i lanes[4];
    for (int i = 0; i < 4; ++i) lanes[i] = load(bytes + 16 * i);
    lanes[0] = _mm_xor_si128(lanes[0], _mm_cvtsi32_si128(static_cast<int>(state)));
    const __m128i by_512 = fold_constants<512>(), by_128 = fold_constants<128>();
    for (size_t at = 64; at < whole; at += 64)
        for (int i = 0; i < 4; ++i) lanes[i] = fold(lanes[i], by_512, load(bytes + at + 16 * static_cast<size_t>(i)));
    __m128i folded = lanes[0];
    for (int i = 1; i < 4; ++i) folded = fold(folded, by_128, lanes[i]);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(remainder), folded);
    return whole;
}

}  // namespace pqstore
