// How many bits a bound should have: what remains of the rows against what the bound costs.
//
// With each bit more the rows that remain fall by a factor, and each of them costs an exact sum; the cost of a bound
// rises in proportion to the sub-spaces that have the bit. Costs are in look-ups of 64 rows in one sub-space by 6 bits;
// measured on Zen 4, and within a tenth of them on Sapphire Rapids.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "avx512/byte_tables.h"

namespace pqstore {
namespace {

struct BoundCosts {
    double seventh_bit;  // of the 7th bit, a look-up
    double eighth_bit;
    double exact_sum;  // of one row, a sub-space
};

// The share of sub-spaces that get one bit more, where so many rows remain with and without the bit.
inline double share_of_bit(double without, double with, double bit_cost, double sum_cost) {
    const double factor = std::log(without / with);
    if (!(factor > 0)) return 0;
    return std::clamp(std::log(sum_cost * without * factor / bit_cost) / factor, 0.0, 1.0);
}

// `remaining`: rows that 7 bits leave of `rows`; `nearest`: those that are within the limit. `least`: 6 or 7.
inline BoundBits best_bits(double remaining, double nearest, double rows, int64_t M, int least,
                           const BoundCosts& costs) {
    const double with_8 = std::max(1.25 * nearest, 1.0), with_7 = std::max(remaining, with_8);
    const double look_ups = rows / 64;
    const auto split = [M](double share) { return static_cast<int64_t>(share * static_cast<double>(M) + 0.5); };
    const double eighth = share_of_bit(with_7, with_8, costs.eighth_bit * look_ups, costs.exact_sum);
    if (eighth > 0 || least == 7) return {8, split(eighth)};
    // The factor of the 7th bit is about that of the 8th.
    const double with_6 = std::min(with_7 * std::max(with_7 / with_8, 4.0), rows);
    return {7, split(share_of_bit(with_6, with_7, costs.seventh_bit * look_ups, costs.exact_sum))};
}

}  // namespace
}  // namespace pqstore
