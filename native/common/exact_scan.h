// The k nearest originals of each query: a quick float32 pass keeps what can be among them, and only that is summed as
// pqstore/kernels/reference/originals.py defines. Results do not depend on how the quick pass rounds.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>

#include "common/buffer.h"
#include "common/original_rows.h"
#include "common/quick_bound.h"
#include "common/quick_products.h"
#include "common/quick_queries.h"
#include "common/top_k.h"
#include "contract.h"
#include "originals/rescore.h"
#include "services/parallel.h"

namespace pqstore {
namespace {

using Rescore = void (*)(const RescoreRequest&);

// Scans some rows for some queries: one by one where they are few, else side by side, as a product of matrices.
template <typename Floats>
class ExactScanner {
  public:
    using Register = typename Floats::Register;
    static constexpr int kRows = Strip<Floats>::kRows;

    ExactScanner(const ExactScanRequest& request, const QuickQueries<Floats>& queries, Rescore rescore,
                 int64_t capacity, int64_t most_queries, bool one_by_one)
        : request_(request),
          queries_(queries),
          rescore_(rescore),
          bound_(request.metric, request.D),
          capacity_(capacity),
          one_by_one_(one_by_one),
          best_(new TopK[static_cast<size_t>(most_queries)]),
          cuts_(static_cast<size_t>(most_queries)) {
        if (request.kind != OriginalKind::kFloat32) decoded_.resize(static_cast<size_t>(kRows * request.D));
        if (!one_by_one) panel_.resize(static_cast<size_t>(kRows * request.D));
    }

    void scan(int64_t first_query, int64_t count, int64_t first_row, int64_t end_row, SharedTopK* results) {
        first_query_ = first_query;
        for (int64_t q = 0; q < count; ++q) {
            best_[static_cast<size_t>(q)].reset(capacity_);
            set_cut(q);
        }
        visit_originals(request_, first_row, end_row, [&](const OriginalPiece& piece) {
            int64_t strips = 0;
            for (int64_t at = piece.first; at < piece.end;) {
                if (strips++ % kSharing == 0) share_limits(count, results);
                at = fill_strip(piece, at);
                if (places_in_strip_ > 0) scan_strip(*piece.chunk, count);
            }
        });
        for (int64_t q = 0; q < count; ++q) results[q].merge(best_[static_cast<size_t>(q)]);
    }

  private:
    // How many strips are scanned between looks at what other threads found.
    static constexpr int64_t kSharing = 64;

    void share_limits(int64_t count, SharedTopK* results) {
        for (int64_t q = 0; q < count; ++q) {
            TopK& best = best_[static_cast<size_t>(q)];
            if (best.full()) results[q].lower_limit(best.limit());
            if (results[q].limit() < best.limit()) {
                best.lower_limit(results[q].limit());
                set_cut(q);
            }
        }
    }

    void set_cut(int64_t q) {
        const float limit = best_[static_cast<size_t>(q)].limit();
        const auto& size = queries_.size(first_query_ + q);
        cuts_[static_cast<size_t>(q)] =
            of_differences() ? bound_.cut_of_differences(limit, size.deviation) : bound_.cut(limit, size.norm);
    }

    bool of_differences() const { return one_by_one_ && request_.metric == ExactMetric::kL2; }

    // Takes live rows of a piece, from `at` on, and returns where the next strip begins.
    int64_t fill_strip(const OriginalPiece& piece, int64_t at) {
        const OriginalChunk& chunk = *piece.chunk;
        int taken = 0;
        for (; at < piece.end && taken < kRows; ++at)
            if (is_live(chunk, at)) places_[taken++] = at;
        places_in_strip_ = taken;
        ahead_ = chunk.stored + at * chunk.stride;
        ahead_bytes_ = std::min<int64_t>(kRows, piece.end - at) * chunk.stride;
        for (int i = 0; i < kRows; ++i) {
            if (i >= taken) {
                strip_.vectors[i] = i > 0 ? strip_.vectors[i - 1] : nullptr;
                continue;
            }
            const uint8_t* original = chunk.stored + places_[i] * chunk.stride;
            if (request_.kind != OriginalKind::kFloat32) {
                float* vector = decoded_.data() + i * request_.D;
                decode_original(request_.kind, original, request_.D, vector);
                original = reinterpret_cast<const uint8_t*>(vector);
            }
            strip_.vectors[i] = original;
        }
        return at;
    }

    void scan_strip(const OriginalChunk& chunk, int64_t count) {
        one_by_one_ ? scan_one_by_one(chunk, count) : scan_side_by_side(chunk, count);
    }

    void scan_one_by_one(const OriginalChunk& chunk, int64_t count) {
        for (int64_t q = 0; q < count; ++q) {
            const float* query = queries_.one(first_query_ + q);
            StripProducts<Floats> found = of_differences() ? multiply_one<Floats, true>(strip_, query, request_.D)
                                                           : multiply_one<Floats, false>(strip_, query, request_.D);
            to_row_terms(found.square);
            judge(chunk, q, found.product, found.square);
        }
    }

    void scan_side_by_side(const OriginalChunk& chunk, int64_t count) {
        Register terms[Floats::kVectors];
        turn_strip<Floats>(strip_, queries_.origin(), request_.D, panel_.data(), terms);
        to_row_terms(terms);
        for (int64_t q = 0; q < count; q += Floats::kQueries) {
            fetch_ahead(q, count);
            multiply_some<Floats::kQueries>(chunk, q, count - q, terms);
        }
    }

    // A share of what lies behind the strip: rows are turned several at a time, which processors do not foresee.
    void fetch_ahead(int64_t q, int64_t count) const {
        constexpr int64_t kLine = 64;
        const int64_t lines = (ahead_bytes_ + kLine - 1) / kLine;
        const int64_t first = lines * q / count, end = lines * std::min<int64_t>(q + Floats::kQueries, count) / count;
        for (int64_t line = first; line < end; ++line) __builtin_prefetch(ahead_ + line * kLine);
    }

    void to_row_terms(Register terms[Floats::kVectors]) const {
        for (int v = 0; v < Floats::kVectors; ++v) {
            const Register square = terms[v];
            const Register term = bound_.by_root() ? Floats::root(square)
                                                   : Floats::multiply(square, Floats::spread(bound_.share_of_square()));
            terms[v] = Floats::only_within(term, square, bound_.least_square(), QuickBound::kLargestSquare);
        }
    }

    // Up to kCount queries, with no more sums than there are queries.
    template <int kCount>
    void multiply_some(const OriginalChunk& chunk, int64_t q, int64_t count, const Register* terms) {
        if constexpr (kCount > 1) {
            if (count < kCount) return multiply_some<kCount - 1>(chunk, q, count, terms);
        }
        Register products[kCount][Floats::kVectors];
        multiply_panel<Floats, kCount>(panel_.data(), queries_.group(first_query_ + q), request_.D, products);
        for (int i = 0; i < kCount; ++i) judge(chunk, q + i, products[i], terms);
    }

    [[gnu::always_inline]] void judge(const OriginalChunk& chunk, int64_t q, const Register* products,
                                      const Register* terms) {
        const Cut& cut = cuts_[static_cast<size_t>(q)];
        const Register start = Floats::spread(cut.start), slope = Floats::spread(cut.slope);
        uint32_t kept = 0;
        for (int v = 0; v < Floats::kVectors; ++v)
            kept |= Floats::not_below(products[v], Floats::multiply_add(slope, terms[v], start)) << (v * Floats::kLanes);
        if (kept != 0) take(chunk, q, kept);
    }

    // Sums what was kept by the definition.
    [[gnu::noinline]] void take(const OriginalChunk& chunk, int64_t q, uint32_t kept) {
        int64_t places[kRows];
        float values[kRows];
        size_t count = 0;
        for (int i = 0; i < places_in_strip_; ++i)
            if (kept >> i & 1) places[count++] = places_[i];
        if (count == 0) return;
        rescore_({request_.kind, request_.metric, chunk.stored, static_cast<size_t>(chunk.stride),
                  request_.vectors + (first_query_ + q) * request_.D, static_cast<size_t>(request_.D), places, count,
                  values});
        TopK& best = best_[static_cast<size_t>(q)];
        const float before = best.limit();
        for (size_t i = 0; i < count; ++i) {
            const float distance = request_.metric == ExactMetric::kL2 ? values[i] : -values[i];
            best.offer(as_distance(distance), chunk.first_row + places[i]);
        }
        if (best.limit() < before) set_cut(q);
    }

    const ExactScanRequest& request_;
    const QuickQueries<Floats>& queries_;
    Rescore rescore_;
    QuickBound bound_;
    int64_t capacity_;
    bool one_by_one_;
    int64_t first_query_ = 0;
    std::unique_ptr<TopK[]> best_;
    Buffer<Cut> cuts_;
    Buffer<float> panel_, decoded_;
    Strip<Floats> strip_;
    int64_t places_[kRows];
    int places_in_strip_ = 0;
    const uint8_t* ahead_ = nullptr;  // what follows the strip
    int64_t ahead_bytes_ = 0;
};

template <typename Floats>
void exact_scan(const ExactScanRequest& request, Rescore rescore) {
    const int64_t rows = count_rows(request), n = request.queries;
    const int64_t capacity = std::min(request.k, rows);
    // To turn a strip pays when enough queries read it.
    constexpr int64_t kFew = 4;
    const bool one_by_one = n <= kFew;
    const QuickQueries<Floats> queries(request, one_by_one);

    // The queries of a group, and a strip, fit into the second-level cache; if several threads share them, into several.
    constexpr int64_t kGroupBytes = 512 << 10, kLeastWork = 1 << 21;
    const int64_t most = std::max<int64_t>(1, kGroupBytes / (4 * request.D * Floats::kQueries)) * Floats::kQueries;
    const int64_t groups = (n + most - 1) / most, group = std::min(most, n);
    const int64_t span_work = rows * request.D * group;
    const int64_t wanted = request.threads == 1 ? 1 : (4 * request.threads + groups - 1) / std::max<int64_t>(1, groups);
    const int64_t spans = std::min(wanted, std::max<int64_t>(1, span_work / kLeastWork));
    const int64_t tasks = capacity == 0 ? 0 : groups * spans;
    const int threads = groups * span_work >= 2 * kLeastWork ? request.threads : 1;

    std::unique_ptr<SharedTopK[]> results(new SharedTopK[static_cast<size_t>(n)]);
    for (int64_t q = 0; q < n; ++q) results[static_cast<size_t>(q)].reset(capacity);
    const auto workers = static_cast<size_t>(std::min<int64_t>(threads, tasks));
    using Scanner = ExactScanner<Floats>;
    std::unique_ptr<std::unique_ptr<Scanner>[]> scanners(new std::unique_ptr<Scanner>[workers + 1]);
    parallel_for(threads, tasks, [&](int worker, int64_t task) {
        std::unique_ptr<Scanner>& scanner = scanners[static_cast<size_t>(worker)];
        if (!scanner) scanner.reset(new Scanner(request, queries, rescore, capacity, group, one_by_one));
        const int64_t first = task / spans * most, span = task % spans;
        scanner->scan(first, std::min(most, n - first), rows * span / spans, rows * (span + 1) / spans,
                      &results[static_cast<size_t>(first)]);
    });
    for (int64_t q = 0; q < n; ++q) {
        float* distances = request.distances + q * request.k;
        results[static_cast<size_t>(q)].write(request.k, true, distances, request.rows + q * request.k);
        if (request.metric != ExactMetric::kL2)
            for (int64_t i = 0; i < request.k; ++i) distances[i] = -distances[i];
    }
}

}  // namespace
}  // namespace pqstore
