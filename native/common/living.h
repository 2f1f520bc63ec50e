// Whether a row of lists is live, by its number.
#pragma once

#include <cstdint>

#include "contract.h"

namespace pqstore {
namespace {

inline bool is_live(const Living& living, int64_t row) {
    const int64_t segment = row / living.segment_rows, position = row % living.segment_rows;
    int64_t low = 0, high = living.count;
    if (high == 0) return false;
    // Mostly they follow one another.
    const int64_t guess = segment - living.segments[0];
    if (guess >= 0 && guess < high && living.segments[guess] == segment) low = high = guess;
    while (low < high) {
        const int64_t middle = (low + high) / 2;
        if (living.segments[middle] < segment) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low == living.count || living.segments[low] != segment) return false;
    const uint8_t* dead = living.dead[low];
    return !dead || !(dead[position >> 3] >> (position & 7) & 1);
}

}  // namespace
}  // namespace pqstore
