// The coarse step of a search of lists, by products of pairs of 16 bits.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "common/centroid_scores.h"

namespace pqstore {
namespace {

// Four centroids at a time: the query is loaded once for them, and their sums are added up together.
inline void centroid_scores_avx2(const int16_t* centroids, const int32_t* halves, int64_t P, int64_t D,
                                 const int16_t* query, int32_t* scores) {
    const auto load = [](const int16_t* steps) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(steps)); };
    int64_t p = 0;
    for (; p + 4 <= P; p += 4) {
        const int16_t* first = centroids + p * D;
        __m256i sums[4] = {_mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256(),
                           _mm256_setzero_si256()};
        for (int64_t d = 0; d < D; d += 16) {
            const __m256i of_query = load(query + d);
            for (int64_t i = 0; i < 4; ++i)
                sums[i] = _mm256_add_epi32(sums[i], _mm256_madd_epi16(of_query, load(first + i * D + d)));
        }
        const __m256i two = _mm256_hadd_epi32(sums[0], sums[1]), more = _mm256_hadd_epi32(sums[2], sums[3]);
        const __m256i both = _mm256_hadd_epi32(two, more);
        const __m128i all = _mm_add_epi32(_mm256_castsi256_si128(both), _mm256_extracti128_si256(both, 1));
        const __m128i half = _mm_loadu_si128(reinterpret_cast<const __m128i*>(halves + p));
        _mm_storeu_si128(reinterpret_cast<__m128i*>(scores + p), _mm_sub_epi32(half, all));
    }
    centroid_scores(centroids + p * D, halves + p, P - p, D, query, scores + p);
}

}  // namespace
}  // namespace pqstore
