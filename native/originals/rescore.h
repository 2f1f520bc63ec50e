// Exact distances of a query to stored originals, and the nearest of them; pqstore/kernels/reference/originals.py
// defines the result, to the bit.
#pragma once

#include <cstddef>
#include <cstdint>

#include "originals/kinds.h"

namespace pqstore {

struct RescoreRequest {
    OriginalKind kind;
    ExactMetric metric;
    const uint8_t* stored;  // originals, row_bytes each
    size_t row_bytes;  // from one original to the next, which may be more than they take
    const double* query;  // (D,); of length 1 for the cosine
    size_t D;
    const int64_t* places;  // (count,): which of the originals are candidates
    size_t count;
    float* distances;  // out: (count,)
};

void rescore(const RescoreRequest& request);
void rescore_portable(const RescoreRequest& request);

// One original to the vector (D,) that it stands for.
void decode_original(OriginalKind kind, const uint8_t* original, int64_t D, float* vector);

enum class Halves { kNotHere, kAllFinite, kSomeInfinite };

// Finite float32 values to float16, rounded to even. kNotHere: this machine has no instruction for it.
Halves to_halves(const float* values, size_t count, uint16_t* halves);

#ifdef PQSTORE_HAVE_F16C
bool has_f16c();
void rescore_f16c(const RescoreRequest& request);
void decode_f16c(OriginalKind kind, const uint8_t* original, int64_t D, float* vector);
// Whether all of them are finite.
bool to_halves_f16c(const float* values, size_t count, uint16_t* halves);
#endif

}  // namespace pqstore
