// What a quick float32 sum proves: which originals are farther from a query than the limit, whatever their distance is.
//
// The definition, pqstore/kernels/reference/originals.py, gives a vector x the value v, a float64 sum rounded to float32
// once. The quick pass computes, in float32 and in any order of summation, fused or not,
//     product = x . q'   and   square = x . x      or, of differences,   product = -|x - q'|^2,
// where q' is the query q rounded to float32. A row is passed over if product < start + slope * row_term, where start and
// slope depend on the query and the limit, and row_term on the row. What is not a number is never passed over.
//
// Proof. Let u = 2^-24, and g = D u / (1 - D u) <= 1.1 D u, as D <= kMostD. A sum of D products has an error of at most
// g times the sum of their magnitudes, each of which passes through D roundings at most, and D t where results are
// denormal: t = 2^-125 even if the processor is set to make them zero. It cannot overflow, because of kLargestSquare. By
// Cauchy and Schwarz, and since rounding q moves it by at most u |q| + s, with s = sqrt(D) t for denormal components,
//     (1)  |product - x . q| <= (g + u) |x| |q| + s |x| + D t           (2)  | square - |x|^2 | <= g |x|^2 + D t
// The float64 sums of v are D 2^-52 (|x| |q|) and less from exact ones. With `share` = 4 (D + 16) u all of that, and the
// few roundings of start, slope and row_term and of the comparison itself, are covered more than twice:
//   dot     v <= T if product <= T - E |x| - D t, with E = share |q| + s. |x| is at most the root of `square` times
//           1 + g, and sqrt(D) 2^-62. T lies beyond the next float32 below the value of the limit, and
//           rounding v is monotone: what is at most T is farther than the limit after it too.
//   cosine  v = x . q / |x|, so v <= T if product <= (T - E) |x|, where |x| is the root of `square`, plus or minus g. Rows
//           whose `square` is so small that denormal terms count have a row_term that is not a number.
//   l2      |x - q|^2 = |x|^2 - 2 x . q + |q|^2, and 2 |x| |q| <= |x|^2 + |q|^2: v >= T if
//           2 product <= (1 - share) square + (1 - share) |q|^2 - (1 + share) T - 8 D t.
//           Here x and q are taken relative to an origin near the data, or the norms would drown the distances. Each
//           component of x is rounded then, which changes |x - q|^2 by 3 u (|x|^2 + |q|^2) at most.
//   differences  each has one rounding, and all terms are positive: |x - q'|^2 >= (|product| - D t) / (1 + 1.1 g). So
//           v >= T if |product| >= (1 + share) (sqrt(T) + |q - q'|)^2 + 8 D t. What overflows is far, indeed.
#pragma once

#include <cmath>
#include <cstdint>

#include "common/top_k.h"
#include "originals/kinds.h"

namespace pqstore {
namespace {

// Rows with product < start + slope * row_term are out. A start that is not a number keeps every row.
struct Cut {
    float start, slope;
};

class QuickBound {
  public:
    static constexpr int64_t kMostD = 1 << 20;
    static constexpr float kLargestSquare = 0x1p125f;

    QuickBound(ExactMetric metric, int64_t D)
        : metric_(metric),
          D_(static_cast<double>(D)),
          share_(D <= kMostD ? 0x1p-22 * (D_ + 16) : static_cast<double>(NAN)) {}

    // The squares between which a row_term says something.
    float least_square() const { return metric_ == ExactMetric::kCosine ? 0x1p-90f : 0.0f; }
    bool by_root() const { return metric_ != ExactMetric::kL2; }
    // What row_term is of a square where it is not the root.
    float share_of_square() const { return below(0.5 * (1 - share_)); }

    // `limit`: the k-th least distance, which for dot and cosine is the negative of the value. `norm`: |q|.
    Cut cut(float limit, double norm) const {
        if (!(norm * norm <= static_cast<double>(kLargestSquare))) return {NAN, 0};
        if (metric_ == ExactMetric::kL2) {
            const double T = beyond(limit);
            return {below(0.5 * ((1 - share_) * norm * norm - (1 + share_) * T) - D_ * 8 * kTiny), 1};
        }
        const double T = -beyond(limit), E = share_ * norm + std::sqrt(D_) * kTiny;
        if (metric_ == ExactMetric::kCosine) {
            const double least = E + 0x1p-60;
            return {0, below(T - least - (std::abs(T) + least) * share_)};
        }
        return {below(T - std::abs(T) * 0x1p-22 - E * std::sqrt(D_) * 0x1p-62 - D_ * 8 * kTiny), below(-E * (1 + share_))};
    }

    // For products of differences. `deviation`: |q - q'|.
    Cut cut_of_differences(float limit, double deviation) const {
        const double T = beyond(limit), root = std::sqrt(T) * (1 + 0x1p-40) + deviation;
        return {below(-(root * root * (1 + share_) + D_ * 8 * kTiny)), 0};
    }

  private:
    static constexpr double kTiny = 0x1p-125;  // t

    // Not less than the next float32 after the limit: what is no less, is rounded to more than the limit.
    static double beyond(float limit) {
        const double wide = limit;
        return wide + std::abs(wide) * 0x1p-23 + 0x1p-149;
    }
    // A float32 that is no more than the value; of an infinite one, perhaps not a number.
    static float below(double value) {
        return static_cast<float>(value - std::abs(value) * 0x1p-23 - 0x1p-149);
    }

    ExactMetric metric_;
    double D_;
    double share_;
};

}  // namespace
}  // namespace pqstore
