// The nearest of a query's candidates, by their originals in mapped files.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "originals/kinds.h"
#include "storage/rows.h"

namespace pqstore {

// What originals are, and how they are compared.
struct StoredOriginals {
    OriginalKind kind;
    ExactMetric metric;
    size_t D, size;  // values, and bytes without the checksum
    bool portable;
};

// The k nearest of candidates, each there once, equal ones by row; padded with an infinite distance and -1. `query` float64
// (D,). False: the checksum of one does not match.
bool nearest_stored(const StoredOriginals& originals, std::vector<StoredRow>& candidates, const double* query, size_t k,
                    float* distances, int64_t* rows);

}  // namespace pqstore
