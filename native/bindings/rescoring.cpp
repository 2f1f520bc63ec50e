// The part of the Python module that rescores.
#include <nanobind/stl/string.h>

#include <algorithm>
#include <atomic>
#include <string>
#include <vector>

#include "bindings/checked.h"
#include "bindings/original_kinds.h"
#include "bindings/parts.h"
#include "bindings/stored_rows.h"
#include "originals/nearest_stored.h"
#include "originals/rescore.h"
#include "services/parallel.h"

using namespace nanobind::literals;

namespace pqstore {
namespace {

// The k nearest of the candidates, by (distance, row), into `distances` and `found`.
void nearest_of(const std::string& kind_name, const std::string& metric_name, const In<uint8_t, 2>& stored,
                const In<int64_t, 1>& places, const In<int64_t, 1>& rows, const In<double, 1>& query, bool portable,
                const Out<float, 1>& distances, const Out<int64_t, 1>& found) {
    const OriginalKind kind = kind_named(kind_name);
    const ExactMetric metric = metric_named(metric_name);
    const size_t D = query.size(), count = places.size(), k = distances.size();
    require(stored.shape(1) == bytes_of(kind, D), "originals of another size");
    require(rows.size() == count && found.size() == k && k <= count, "k candidates are needed, and a row for each");
    const auto there = static_cast<int64_t>(stored.shape(0));
    for (size_t i = 0; i < count; ++i)
        require(places.data()[i] >= 0 && places.data()[i] < there, "a place without an original");
    std::vector<float> exact(count);
    const RescoreRequest request{kind,  metric, stored.data(), stored.shape(1), query.data(),
                                 D,     places.data(), count, exact.data()};
    nb::gil_scoped_release released;
    portable ? rescore_portable(request) : rescore(request);
    std::vector<size_t> order(count);
    for (size_t i = 0; i < count; ++i) order[i] = i;
    const int64_t* row = rows.data();
    const bool larger = metric != ExactMetric::kL2;
    std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(k), order.end(),
                      [&](size_t a, size_t b) {
                          if (exact[a] != exact[b]) return larger ? exact[a] > exact[b] : exact[a] < exact[b];
                          return row[a] < row[b];
                      });
    for (size_t i = 0; i < k; ++i) {
        distances.data()[i] = exact[order[i]];
        found.data()[i] = row[order[i]];
    }
}

// Originals to the vectors that they stand for.
void decode(const std::string& kind_name, const In<uint8_t, 2>& stored, const Out<float, 2>& vectors) {
    const OriginalKind kind = kind_named(kind_name);
    const size_t count = vectors.shape(0), D = vectors.shape(1), row_bytes = bytes_of(kind, D);
    require(stored.shape(0) == count && stored.shape(1) == row_bytes, "originals of another size");
    nb::gil_scoped_release released;
    for (size_t i = 0; i < count; ++i)
        decode_original(kind, stored.data() + i * row_bytes, static_cast<int64_t>(D), vectors.data() + i * D);
}

// The k nearest of each query's candidates `rows` (n, R), -1 where there are fewer, in files as of StoredRows; padded
// with an infinite distance and -1. False: an original is in no file, or its checksum does not match.
bool nearest_in_files(const std::string& kind_name, const std::string& metric_name, const nb::dict& files,
                      int64_t segment_rows, const In<int64_t, 2>& rows, const In<double, 2>& queries, bool portable,
                      int threads, const Out<float, 2>& distances, const Out<int64_t, 2>& found) {
    const OriginalKind kind = kind_named(kind_name);
    const size_t n = rows.shape(0), D = queries.shape(1), k = distances.shape(1);
    const StoredOriginals originals{kind, metric_named(metric_name), D, bytes_of(kind, D), portable};
    require(queries.shape(0) == n && distances.shape(0) == n && found.shape(0) == n && found.shape(1) == k,
            "one query and k results for each row of candidates");
    require(threads >= 1, "threads must be at least 1");
    StoredRows in_files(files, segment_rows, originals.size);
    std::vector<std::vector<StoredRow>> candidates(n);
    for (size_t q = 0; q < n; ++q) {
        const int64_t* mine = rows.data() + q * rows.shape(1);
        candidates[q].reserve(rows.shape(1));
        StoredRow row{};
        for (size_t i = 0; i < rows.shape(1); ++i) {
            if (mine[i] < 0) continue;
            if (!in_files.find(mine[i], row)) return false;
            candidates[q].push_back(row);
            if (n == 1) fetch(row, originals.size);  // now: the sooner the better
        }
    }
    std::atomic<bool> whole{true};
    nb::gil_scoped_release released;
    parallel_for(threads, static_cast<int64_t>(n), [&](int, int64_t query) {
        const auto q = static_cast<size_t>(query);
        std::vector<StoredRow>& mine = candidates[q];
        // All at once: what holds one up is to find its pages, and that goes on for many side by side.
        if (n > 1)
            for (const StoredRow& candidate : mine) fetch(candidate, originals.size);
        if (!nearest_stored(originals, mine, queries.data() + q * D, k, distances.data() + q * k, found.data() + q * k))
            whole.store(false, std::memory_order_relaxed);
    });
    return whole;
}

// Whether all are finite; None where this machine cannot do it.
nb::object as_halves(const In<float, 2>& vectors, const Out<uint16_t, 2>& halves) {
    require(halves.size() == vectors.size(), "as many halves as values");
    Halves result;
    {
        nb::gil_scoped_release released;
        result = to_halves(vectors.data(), vectors.size(), halves.data());
    }
    return result == Halves::kNotHere ? nb::none() : nb::object(nb::bool_(result == Halves::kAllFinite));
}

}  // namespace

void bind_rescoring(nb::module_& module) {
    const auto exactly = [](const char* name) { return nb::arg(name).noconvert(); };
    module.def("nearest_of", &nearest_of, "kind"_a, "metric"_a, exactly("stored"), exactly("places"), exactly("rows"),
               exactly("query"), "portable"_a, exactly("distances"), exactly("found"));
    module.def("decode", &decode, "kind"_a, exactly("stored"), exactly("vectors"));
    module.def("nearest_stored", &nearest_in_files, "kind"_a, "metric"_a, "files"_a, "segment_rows"_a, exactly("rows"),
               exactly("queries"), "portable"_a, "threads"_a, exactly("distances"), exactly("found"));
    module.def("to_halves", &as_halves, exactly("vectors"), exactly("halves"));
}

}  // namespace pqstore
