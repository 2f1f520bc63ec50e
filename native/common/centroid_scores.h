// The coarse step of a search of lists: how far a query is from each centroid, in whole numbers.
#pragma once

#include <cstdint>

namespace pqstore {
namespace {

// See KernelSet. Compilers make of it products of pairs, added in 32 bits.
inline void centroid_scores(const int16_t* centroids, const int32_t* halves, int64_t P, int64_t D,
                            const int16_t* query, int32_t* scores) {
    const auto inner = [&](const int16_t* centroid) {
        int32_t sum = 0;
        for (int64_t d = 0; d < D; ++d) sum += static_cast<int32_t>(centroid[d]) * static_cast<int32_t>(query[d]);
        return sum;
    };
    for (int64_t p = 0; p < P; ++p) scores[p] = halves[p] - inner(centroids + p * D);
}

}  // namespace
}  // namespace pqstore
