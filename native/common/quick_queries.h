// The queries of an exact scan as its quick pass reads them.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "common/buffer.h"
#include "common/original_rows.h"
#include "contract.h"
#include "originals/rescore.h"

namespace pqstore {
namespace {

// The queries in float32, in the order that the quick pass reads, and what its bounds need to know of each.
template <typename Floats>
class QuickQueries {
  public:
    QuickQueries(const ExactScanRequest& request, bool one_by_one)
        : request_(request), padded_((request.D + Floats::kLanes - 1) / Floats::kLanes * Floats::kLanes) {
        const int64_t D = request.D, n = request.queries;
        clear(origin_, padded_);
        if (one_by_one) {
            clear(values_, n * padded_);
        } else {
            if (request.metric == ExactMetric::kL2) find_origin();
            const int64_t groups = (n + Floats::kQueries - 1) / Floats::kQueries;
            clear(values_, groups * Floats::kQueries * D);
        }
        sizes_.resize(static_cast<size_t>(n));
        for (int64_t q = 0; q < n; ++q) {
            float* to = one_by_one ? values_.data() + q * padded_
                                   : values_.data() + q / Floats::kQueries * Floats::kQueries * D + q % Floats::kQueries;
            sizes_[static_cast<size_t>(q)] = put(request.vectors + q * D, to, one_by_one ? 1 : Floats::kQueries);
        }
    }

    // Of a query, relative to the origin, and by how much rounding to float32 moved it.
    struct Size {
        double norm, deviation;
    };

    // What is taken from queries and rows alike: zero but for l2 and queries side by side.
    const float* origin() const { return origin_.data(); }
    // A query for itself, (D,), with zeros up to a whole register.
    const float* one(int64_t q) const { return values_.data() + q * padded_; }
    // kQueries side by side, (D, kQueries), from `first` on, which is a multiple.
    const float* group(int64_t first) const { return values_.data() + first * request_.D; }
    const Size& size(int64_t q) const { return sizes_[static_cast<size_t>(q)]; }

  private:
    static void clear(Buffer<float>& values, int64_t count) {
        values.resize(static_cast<size_t>(count));
        std::memset(values.data(), 0, static_cast<size_t>(count) * sizeof(float));
    }

    Size put(const double* query, float* to, int64_t step) const {
        double square = 0, moved = 0;
        for (int64_t d = 0; d < request_.D; ++d) {
            const double value = query[d] - static_cast<double>(origin_[static_cast<size_t>(d)]);
            to[d * step] = static_cast<float>(value);
            const double rounding = value - static_cast<double>(to[d * step]);
            square += value * value;
            moved += rounding * rounding;
        }
        // A little more, for the rounding of these sums.
        return {std::sqrt(square) * (1 + 0x1p-30), std::sqrt(moved) * (1 + 0x1p-30)};
    }

    // The mean of some rows. Any point would do; the nearer to the rows, the tighter the bounds.
    void find_origin() {
        constexpr int64_t kSample = 32;
        const int64_t rows = count_rows(request_), D = request_.D;
        const int64_t sample = std::min(kSample, rows);
        Buffer<float> vector(static_cast<size_t>(D));
        for (int64_t i = 0; i < sample; ++i) {
            const int64_t row = rows * i / sample;
            visit_originals(request_, row, row + 1, [&](const OriginalPiece& piece) {
                decode_original(request_.kind, piece.chunk->stored + piece.first * piece.chunk->stride, D,
                                vector.data());
            });
            for (int64_t d = 0; d < D; ++d)
                origin_[static_cast<size_t>(d)] += vector[static_cast<size_t>(d)] / static_cast<float>(sample);
        }
        for (int64_t d = 0; d < D; ++d)
            if (!std::isfinite(origin_[static_cast<size_t>(d)])) origin_[static_cast<size_t>(d)] = 0;
    }

    const ExactScanRequest& request_;
    int64_t padded_;
    Buffer<float> origin_, values_;
    Buffer<Size> sizes_;
};

}  // namespace
}  // namespace pqstore
