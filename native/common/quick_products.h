// The quick pass over a strip of originals: float32 products with queries, and squares, for a set of primitives (floats.h).
#pragma once

#include <algorithm>
#include <cstdint>

#include "originals/kinds.h"

namespace pqstore {
namespace {

// Up to kRows float32 vectors at any addresses; where fewer are given, the last stands for those that are missing.
template <typename Floats>
struct Strip {
    static constexpr int kRows = Floats::kLanes * Floats::kVectors;

    const uint8_t* vectors[kRows];
};

// What the quick pass finds for the rows of a strip.
template <typename Floats>
struct StripProducts {
    typename Floats::Register product[Floats::kVectors], square[Floats::kVectors];
};

// Calls add(d, load) for the registers of a vector from dimension d on; load(from) reads what there is of one.
template <typename Floats, typename Add>
[[gnu::always_inline]] inline void each_part(int64_t d, int64_t D, const Add& add) {
    for (; d + Floats::kLanes <= D; d += Floats::kLanes)
        add(d, [](const void* from) { return Floats::load(from); });
    if (d < D) add(d, [rest = D - d](const void* from) { return Floats::load_some(from, rest); });
}

// One vector with one query, (D,) with zeros up to a whole register; lanes are still to be added up. Differences have no
// square.
template <typename Floats, bool kDifferences>
[[gnu::always_inline]] inline void multiply_vector(const uint8_t* vector, const float* query, int64_t D,
                                                   typename Floats::Register& product,
                                                   typename Floats::Register& square) {
    using Register = typename Floats::Register;
    constexpr int kChains = 4;  // a sum waits for the one before it
    Register products[kChains], squares[kChains];
    for (int i = 0; i < kChains; ++i) products[i] = squares[i] = Floats::zero();
    const auto add = [&](int i, Register values, Register part) {
        if (kDifferences) {
            const Register difference = Floats::subtract(values, part);
            products[i] = Floats::multiply_add(difference, difference, products[i]);
        } else {
            products[i] = Floats::multiply_add(values, part, products[i]);
            squares[i] = Floats::multiply_add(values, values, squares[i]);
        }
    };
    int64_t d = 0;
    for (; d + kChains * Floats::kLanes <= D; d += kChains * Floats::kLanes)
        for (int i = 0; i < kChains; ++i) {
            const int64_t at = d + i * Floats::kLanes;
            add(i, Floats::load(vector + 4 * at), Floats::load(query + at));
        }
    each_part<Floats>(d, D, [&](int64_t at, const auto& load) { add(0, load(vector + 4 * at), Floats::load(query + at)); });
    product = Floats::add(Floats::add(products[0], products[1]), Floats::add(products[2], products[3]));
    square = Floats::add(Floats::add(squares[0], squares[1]), Floats::add(squares[2], squares[3]));
}

// The rows one after another, as they lie: memory is read fastest in one stream.
template <typename Floats, bool kDifferences>
inline StripProducts<Floats> multiply_one(const Strip<Floats>& strip, const float* query, int64_t D) {
    using Register = typename Floats::Register;
    StripProducts<Floats> result;
    for (int v = 0; v < Floats::kVectors; ++v) {
        Register products[Floats::kLanes], squares[Floats::kLanes];
        for (int i = 0; i < Floats::kLanes; ++i)
            multiply_vector<Floats, kDifferences>(strip.vectors[v * Floats::kLanes + i], query, D, products[i],
                                                  squares[i]);
        const Register sums = Floats::sums(products);
        result.product[v] = kDifferences ? Floats::subtract(Floats::zero(), sums) : sums;
        result.square[v] = kDifferences ? Floats::zero() : Floats::sums(squares);
    }
    return result;
}

// A strip turned for many queries: component d of row i, relative to the origin, at panel[d * Strip::kRows + i]. Returns
// the squares of the rows. `origin` (D,) with zeros up to a whole register.
template <typename Floats>
inline void turn_strip(const Strip<Floats>& strip, const float* origin, int64_t D, float* panel,
                       typename Floats::Register square[Floats::kVectors]) {
    using Register = typename Floats::Register;
    constexpr int kLanes = Floats::kLanes, kRows = Strip<Floats>::kRows;
    for (int v = 0; v < Floats::kVectors; ++v) {
        Register even = Floats::zero(), odd = even;
        each_part<Floats>(0, D, [&](int64_t d, const auto& load) {
            const Register from = Floats::load(origin + d);
            Register values[kLanes];
            for (int i = 0; i < kLanes; ++i)
                values[i] = Floats::subtract(load(strip.vectors[v * kLanes + i] + 4 * d), from);
            Floats::transpose(values);
            const int64_t some = std::min<int64_t>(kLanes, D - d);
            float* to = panel + d * kRows + v * kLanes;
            for (int j = 0; j < kLanes; j += 2) {
                even = Floats::multiply_add(values[j], values[j], even);
                odd = Floats::multiply_add(values[j + 1], values[j + 1], odd);
            }
            for (int64_t j = 0; j < some; ++j) Floats::store(to + j * kRows, values[j]);
        });
        square[v] = Floats::add(even, odd);
    }
}

// The products of a panel with the first kCount of kQueries queries, whose component d is at queries[d * kQueries + i].
template <typename Floats, int kCount>
[[gnu::always_inline]] inline void multiply_panel(const float* panel, const float* queries, int64_t D,
                                                  typename Floats::Register sums[kCount][Floats::kVectors]) {
    using Register = typename Floats::Register;
    for (int q = 0; q < kCount; ++q)
        for (int v = 0; v < Floats::kVectors; ++v) sums[q][v] = Floats::zero();
    for (int64_t d = 0; d < D; ++d, panel += Strip<Floats>::kRows, queries += Floats::kQueries) {
        Register rows[Floats::kVectors];
        for (int v = 0; v < Floats::kVectors; ++v) rows[v] = Floats::load(panel + v * Floats::kLanes);
        for (int q = 0; q < kCount; ++q) {
            const Register component = Floats::spread(queries[q]);
            for (int v = 0; v < Floats::kVectors; ++v)
                sums[q][v] = Floats::multiply_add(component, rows[v], sums[q][v]);
        }
    }
}

}  // namespace
}  // namespace pqstore
