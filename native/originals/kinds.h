// In what form originals are stored, and how they are compared with queries.
#pragma once

#include <cstddef>

namespace pqstore {

enum class OriginalKind { kFloat32, kFloat16, kInt8 };
enum class ExactMetric { kL2, kDot, kCosine };

}  // namespace pqstore
