// The loops of rescoring, over any way to read eight values of an original. Sums have eight lanes of float64.
#pragma once

#include <cmath>
#include <cstring>

#include "originals/rescore.h"

namespace pqstore {
namespace {

constexpr size_t kLanes = 8;

struct Sum {
    double lanes[kLanes] = {};

    double total() const {
        double halves[4], quarters[2];
        for (size_t j = 0; j < 4; ++j) halves[j] = lanes[j] + lanes[j + 4];
        for (size_t j = 0; j < 2; ++j) quarters[j] = halves[j] + halves[j + 2];
        return quarters[0] + quarters[1];
    }
};

template <ExactMetric kMetric>
inline void add_terms(const float* values, const double* query, size_t count, Sum& sum, Sum& square) {
    for (size_t j = 0; j < count; ++j) {
        const double value = values[j];
        if (kMetric == ExactMetric::kL2) {
            const double difference = value - query[j];
            sum.lanes[j] += difference * difference;
        } else {
            sum.lanes[j] += value * query[j];
            if (kMetric == ExactMetric::kCosine) square.lanes[j] += value * value;
        }
    }
}

template <ExactMetric kMetric, typename Reader>
inline double exact_distance(const uint8_t* original, const double* query, size_t D) {
    const Reader reader(original, D);
    Sum sum, square;
    float values[kLanes];
    const size_t whole = D / kLanes * kLanes;
    for (size_t d = 0; d < whole; d += kLanes) {
        reader.read(d, values);
        add_terms<kMetric>(values, query + d, kLanes, sum, square);
    }
    if (whole < D) {
        for (size_t d = whole; d < D; ++d) values[d - whole] = reader.one(d);
        add_terms<kMetric>(values, query + whole, D - whole, sum, square);
    }
    if (kMetric != ExactMetric::kCosine) return sum.total();
    const double length = std::sqrt(square.total());
    return length > 0 ? sum.total() / length : sum.total();  // a vector that was rounded to zero is near nothing
}

template <ExactMetric kMetric, typename Reader>
inline void score_all(const RescoreRequest& request) {
    for (size_t i = 0; i < request.count; ++i) {
        const uint8_t* original = request.stored + static_cast<size_t>(request.places[i]) * request.row_bytes;
        request.distances[i] = static_cast<float>(exact_distance<kMetric, Reader>(original, request.query, request.D));
    }
}

template <typename Reader>
inline void score_by_metric(const RescoreRequest& request) {
    switch (request.metric) {
        case ExactMetric::kL2: return score_all<ExactMetric::kL2, Reader>(request);
        case ExactMetric::kDot: return score_all<ExactMetric::kDot, Reader>(request);
        case ExactMetric::kCosine: return score_all<ExactMetric::kCosine, Reader>(request);
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

}  // namespace
}  // namespace pqstore
