// The names under which Python knows kinds of originals and metrics.
#pragma once

#include <string>

#include "bindings/checked.h"
#include "originals/kinds.h"

namespace pqstore {

inline OriginalKind kind_named(const std::string& name) {
    if (name == "float32") return OriginalKind::kFloat32;
    if (name == "float16") return OriginalKind::kFloat16;
    require(name == "int8", "unknown kind of originals");
    return OriginalKind::kInt8;
}

inline size_t bytes_of(OriginalKind kind, size_t D) {
    switch (kind) {
        case OriginalKind::kFloat32: return 4 * D;
        case OriginalKind::kFloat16: return 2 * D;
        case OriginalKind::kInt8: return D + 8;
    }
    return 0;
}

inline ExactMetric metric_named(const std::string& name) {
    if (name == "l2") return ExactMetric::kL2;
    if (name == "dot") return ExactMetric::kDot;
    require(name == "cosine", "unknown metric");
    return ExactMetric::kCosine;
}

}  // namespace pqstore
