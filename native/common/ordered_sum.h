// The sum that defines a distance: float additions in the frozen order of reference/tables.py.
#pragma once

#include <cstdint>

namespace pqstore {
namespace {

// Sum of term(base, i) over m = base + i in first .. first + count - 1, at most 128 terms. `base` and `first` are
// multiples of 8 and i is a constant in the long loop, so that the address of a term is one register plus a constant.
template <typename Term>
inline float ordered_sum_short(int64_t first, int64_t count, const Term& term) {
    if (count < 8) {
        float total = term(first, 0);
        for (int64_t i = 1; i < count; ++i) total += term(first, i);
        return total;
    }
    float a = term(first, 0), b = term(first, 1), c = term(first, 2), d = term(first, 3);
    float e = term(first, 4), f = term(first, 5), g = term(first, 6), h = term(first, 7);
    const int64_t whole = first + count - count % 8;
    for (int64_t base = first + 8; base < whole; base += 8) {
        a += term(base, 0);
        b += term(base, 1);
        c += term(base, 2);
        d += term(base, 3);
        e += term(base, 4);
        f += term(base, 5);
        g += term(base, 6);
        h += term(base, 7);
    }
    float total = ((a + b) + (c + d)) + ((e + f) + (g + h));
    for (int64_t i = 0; i < count % 8; ++i) total += term(whole, i);
    return total;
}

// Beyond 128 terms: two halves, the first a multiple of 8.
template <typename Term>
float ordered_sum_long(int64_t first, int64_t count, const Term& term) {
    if (count <= 128) return ordered_sum_short(first, count, term);
    const int64_t half = count / 2 - count / 2 % 8;
    return ordered_sum_long(first, half, term) + ordered_sum_long(first + half, count - half, term);
}

template <typename Term>
inline float ordered_sum(int64_t count, const Term& term) {
    return count <= 128 ? ordered_sum_short(0, count, term) : ordered_sum_long(0, count, term);
}

}  // namespace
}  // namespace pqstore
