// Rescoring for x86-64 with AVX2 and F16C.
#include <immintrin.h>

#include "originals/rescore_loops.h"

namespace pqstore {
namespace {

struct Quads {
    using Double = __m256d;
    static constexpr size_t kWidth = 4;

    static Double widen(const float* values) { return _mm256_cvtps_pd(_mm_loadu_ps(values)); }
};

struct ReadFloat16 {
    const uint8_t* bytes;
    ReadFloat16(const uint8_t* original, size_t) : bytes(original) {}
    float one(size_t d) const { return _cvtsh_ss(load_at<uint16_t>(bytes, d)); }
    void read(size_t d, float values[kLanes]) const {
        _mm256_storeu_ps(values,
                         _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes + 2 * d))));
    }
};

}  // namespace

bool has_f16c() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("f16c"); }

void rescore_f16c(const RescoreRequest& request) {
    switch (request.kind) {
        case OriginalKind::kFloat32: return score_by_metric<Quads, ReadFloat32>(request);
        case OriginalKind::kFloat16: return score_by_metric<Quads, ReadFloat16>(request);
        case OriginalKind::kInt8: return score_by_metric<Quads, ReadInt8>(request);
    }
}

void decode_f16c(OriginalKind kind, const uint8_t* original, int64_t D, float* vector) {
    switch (kind) {
        case OriginalKind::kFloat32: return decode_by<ReadFloat32>(original, D, vector);
        case OriginalKind::kFloat16: return decode_by<ReadFloat16>(original, D, vector);
        case OriginalKind::kInt8: return decode_by<ReadInt8>(original, D, vector);
    }
}

bool to_halves_f16c(const float* values, size_t count, uint16_t* halves) {
    const __m128i magnitude = _mm_set1_epi16(0x7fff), largest = _mm_set1_epi16(0x7bff);
    __m128i beyond = _mm_setzero_si128();
    size_t i = 0;
    for (; i + 8 <= count; i += 8) {
        const __m128i eight = _mm256_cvtps_ph(_mm256_loadu_ps(values + i), _MM_FROUND_TO_NEAREST_INT);
        beyond = _mm_or_si128(beyond, _mm_cmpgt_epi16(_mm_and_si128(eight, magnitude), largest));
        _mm_storeu_si128(reinterpret_cast<__m128i*>(halves + i), eight);
    }
    bool finite = _mm_testz_si128(beyond, beyond) != 0;
    for (; i < count; ++i) {
        halves[i] = _cvtss_sh(values[i], _MM_FROUND_TO_NEAREST_INT);
        finite = finite && (halves[i] & 0x7fff) < 0x7c00;
    }
    return finite;
}

}  // namespace pqstore
