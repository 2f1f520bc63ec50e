// The loops of rescoring, over any way to read eight values of an original. Sums have eight lanes of float64.
#pragma once

#include <cmath>
#include <cstring>

#include "originals/rescore.h"

namespace pqstore {
namespace {

constexpr size_t kLanes = 8;

// `Numbers` below are float64 side by side, as many as a register holds: kWidth of them, a Double, which `widen` makes of
// as many float32.
template <typename Numbers>
struct Sum {
    typename Numbers::Double lanes[kLanes / Numbers::kWidth] = {};

    double total() const {
        double all[kLanes], halves[4], quarters[2];
        std::memcpy(all, lanes, sizeof all);
        for (size_t j = 0; j < 4; ++j) halves[j] = all[j] + all[j + 4];
        for (size_t j = 0; j < 2; ++j) quarters[j] = halves[j] + halves[j + 2];
        return quarters[0] + quarters[1];
    }
};

template <ExactMetric kMetric, typename Numbers>
[[gnu::always_inline]] inline void add_terms(const float values[kLanes], const double query[kLanes], Sum<Numbers>& sum,
                                             Sum<Numbers>& square) {
    using Double = typename Numbers::Double;
    for (size_t part = 0; part < kLanes / Numbers::kWidth; ++part) {
        Double of_query;
        std::memcpy(&of_query, query + part * Numbers::kWidth, sizeof of_query);
        const Double value = Numbers::widen(values + part * Numbers::kWidth);
        if (kMetric == ExactMetric::kL2) {
            const Double difference = value - of_query;
            sum.lanes[part] += difference * difference;
        } else {
            sum.lanes[part] += value * of_query;
            if (kMetric == ExactMetric::kCosine) square.lanes[part] += value * value;
        }
    }
}

template <ExactMetric kMetric, typename Numbers, typename Reader>
inline double exact_distance(const uint8_t* original, const double* query, size_t D) {
    const Reader reader(original, D);
    Sum<Numbers> sum, square;
    float values[kLanes];
    const size_t whole = D / kLanes * kLanes;
    for (size_t d = 0; d < whole; d += kLanes) {
        reader.read(d, values);
        add_terms<kMetric>(values, query + d, sum, square);
    }
    if (whole < D) {
        // Zeros leave a lane as it is: no lane is ever a negative zero.
        float last[kLanes] = {};
        double of_query[kLanes] = {};
        for (size_t d = whole; d < D; ++d) {
            last[d - whole] = reader.one(d);
            of_query[d - whole] = query[d];
        }
        add_terms<kMetric>(last, of_query, sum, square);
    }
    if (kMetric != ExactMetric::kCosine) return sum.total();
    const double length = std::sqrt(square.total());
    return length > 0 ? sum.total() / length : sum.total();  // a vector that was rounded to zero is near nothing
}

template <ExactMetric kMetric, typename Numbers, typename Reader>
inline void score_all(const RescoreRequest& request) {
    for (size_t i = 0; i < request.count; ++i) {
        const uint8_t* original = request.stored + static_cast<size_t>(request.places[i]) * request.row_bytes;
        request.distances[i] =
            static_cast<float>(exact_distance<kMetric, Numbers, Reader>(original, request.query, request.D));
    }
}

template <typename Numbers, typename Reader>
inline void score_by_metric(const RescoreRequest& request) {
    switch (request.metric) {
        case ExactMetric::kL2: return score_all<ExactMetric::kL2, Numbers, Reader>(request);
        case ExactMetric::kDot: return score_all<ExactMetric::kDot, Numbers, Reader>(request);
        case ExactMetric::kCosine: return score_all<ExactMetric::kCosine, Numbers, Reader>(request);
    }
}

template <typename T>
inline T load_at(const uint8_t* bytes, size_t index) {
    T value;
    std::memcpy(&value, bytes + index * sizeof value, sizeof value);
    return value;
}

struct ReadFloat32 {
    const uint8_t* bytes;
    ReadFloat32(const uint8_t* original, size_t) : bytes(original) {}
    float one(size_t d) const { return load_at<float>(bytes, d); }
    void read(size_t d, float values[kLanes]) const { std::memcpy(values, bytes + 4 * d, 4 * kLanes); }
};

struct ReadInt8 {
    const uint8_t* bytes;
    float scale, offset;
    ReadInt8(const uint8_t* original, size_t D)
        : bytes(original), scale(load_at<float>(original + D, 0)), offset(load_at<float>(original + D, 1)) {}
    float one(size_t d) const { return static_cast<float>(bytes[d]) * scale + offset; }
    void read(size_t d, float values[kLanes]) const {
        for (size_t j = 0; j < kLanes; ++j) values[j] = one(d + j);
    }
};

template <typename Reader>
inline void decode_by(const uint8_t* original, int64_t D, float* vector) {
    const auto size = static_cast<size_t>(D);
    const Reader reader(original, size);
    const size_t whole = size / kLanes * kLanes;
    for (size_t d = 0; d < whole; d += kLanes) reader.read(d, vector + d);
    for (size_t d = whole; d < size; ++d) vector[d] = reader.one(d);
}

}  // namespace
}  // namespace pqstore
