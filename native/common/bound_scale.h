// From distances to the integer units of a bound, so that a bound never exceeds what it bounds.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "common/top_k.h"

namespace pqstore {
namespace {

// How u8 sums are divided: pairs of sub-spaces are added in bytes within a section, sections in u16.
struct Sections {
    static constexpr int64_t kMost = 60;  // 2 lanes x 60 x 255 < 32,768: sums compare as signed u16
    int64_t count;
    int64_t ends[kMost];

    Sections(int64_t pairs, int64_t pairs_each) {
        count = std::clamp<int64_t>((pairs + pairs_each / 2) / pairs_each, 1, kMost);
        for (int64_t s = 0; s < count; ++s) ends[s] = pairs * (s + 1) / count;
    }

    // Units that a sum can reach before every byte is saturated.
    double capacity() const { return 2.0 * 255.0 * static_cast<double>(count); }
};

// Maps distances to units: `base` to 0 and the limit to `units`, rounding in favour of the row.
class BoundScale {
  public:
    // `base`: sum of the least entries of all M tables; `least_magnitudes`: sum of their absolute values.
    void prepare(double base, double least_magnitudes, int64_t M, double units) {
        width_ = HUGE_VAL;
        base_ = base;
        magnitudes_ = least_magnitudes;
        rounding_ = static_cast<double>(M + 8) / (1 << 22);
        units_ = units;
    }

    // A bound is useless, and not computed, if a table has no finite least entry.
    bool usable() const { return std::isfinite(base_) && std::isfinite(magnitudes_); }

    double base() const { return base_; }

    void set_limit(float limit) { width_ = width(limit); }

    // True if the limit has fallen so far that tables scaled anew would bound better.
    bool outdated(float limit, double fraction) const { return usable() && width(limit) < fraction * width_; }

    // Units per distance.
    float scale() const { return static_cast<float>(std::min(units_ / width_, 1e30)); }

    // No row within the limit has a bound above this.
    int limit_units() const { return static_cast<int>(units_ * 1.0001) + 1; }

    // The same for another limit than the one that was set; at most what a signed sum in 16 bits can reach.
    int units_of(float limit) const {
        const double other = width(limit), share = width_ > 0 ? other / width_ : other > 0 ? HUGE_VAL : 1;
        return static_cast<int>(std::min(units_ * share * 1.0001 + 1, 32767.0));
    }

  private:
    // Float sums err by at most (M + 2) 2^-24 of the magnitudes added, which a row within the limit keeps below
    // |least entries| + (limit - base). The margin is four times that.
    double width(float limit) const {
        const double above = std::max(0.0, static_cast<double>(limit) - base_);
        return above + rounding_ * (magnitudes_ + above);
    }

    double base_ = 0, magnitudes_ = 0, rounding_ = 0, units_ = 0, width_ = 0;
};

}  // namespace
}  // namespace pqstore
