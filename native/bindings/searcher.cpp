// The part of the Python module that searches: queries in, nearest rows out.
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <atomic>
#include <limits>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <utility>
#include <vector>

#include "bindings/checked.h"
#include "bindings/chunk_search.h"
#include "bindings/prepared_lists.h"
#include "bindings/parts.h"
#include "services/dispatch.h"
#include "services/parallel.h"
#include "services/scratch.h"

using namespace nanobind::literals;

namespace pqstore {
namespace {

class Scratch {
  public:
    explicit Scratch(size_t floats) : bytes_(floats * sizeof(float)), memory_(take_scratch(bytes_)) {}
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;
    ~Scratch() { return_scratch(memory_, bytes_); }

    float* data() { return static_cast<float*>(memory_); }

  private:
    size_t bytes_;
    void* memory_;
};

// Codewords of one index, laid out for the tables of its searches.
class Searcher final : public ChunkSearch {
  public:
    // `labels` uint8 (M, Ks): under which label each codeword is stored; without them, under its number.
    Searcher(const std::string& kernels, const std::string& kind, const In<float, 3>& codewords,
             std::optional<In<uint8_t, 2>> labels, int64_t table_size, bool dot)
        : kernels_(find_kernels(kernels)), dot_(dot) {
        if (!kernels_) throw nb::value_error(("no kernels named " + kernels + " run here").c_str());
        const Codewords from = checked_codewords(codewords);
        layout_ = checked_layout(kind, from.M, table_size);
        require(from.Ks <= table_size, "more codewords than a table has entries");
        if (labels)
            require(extent(*labels, 0) == from.M && extent(*labels, 1) == from.Ks && table_size == 256,
                    "labels must be (M, Ks), and tables of 256 entries");
        const int64_t stride = (table_size + CodewordColumns::kStep - 1) / CodewordColumns::kStep * CodewordColumns::kStep;
        const auto size = static_cast<size_t>(from.M * from.Ds * stride);
        values_.reset(new (std::align_val_t{kScratchAlignment}) float[size]());
        std::vector<bool> used(static_cast<size_t>(from.M * table_size));
        for (int64_t m = 0; m < from.M; ++m)
            for (int64_t k = 0; k < from.Ks; ++k) {
                const int64_t label = labels ? labels->data()[m * from.Ks + k] : k;
                used[static_cast<size_t>(m * table_size + label)] = true;
                for (int64_t d = 0; d < from.Ds; ++d)
                    values_[static_cast<size_t>((m * from.Ds + d) * stride + label)] =
                        from.values[(m * from.Ks + k) * from.Ds + d];
            }
        for (size_t i = 0; i < used.size(); ++i)
            if (!used[i]) unused_.push_back(static_cast<int64_t>(i));
        columns_ = {values_.get(), from.M, from.Ds, stride, table_size};
    }

    // False: a query, or a distance to a codeword, is not finite.
    bool tables(const In<float, 2>& queries, const Out<float, 3>& tables) const {
        require_queries(queries);
        require(extent(tables, 0) == extent(queries, 0) && extent(tables, 1) == columns_.M &&
                    extent(tables, 2) == columns_.table_size,
                "tables must be (n, M, table_size)");
        nb::gil_scoped_release released;
        return fill(queries.data(), extent(queries, 0), 1, tables.data());
    }

    // The k nearest rows of each query, those that are missing as -1 at an infinite distance. False, and nothing written:
    // a query, or a distance to a codeword, is not finite.
    bool search(const In<float, 2>& queries, const PreparedChunks& chunks, int threads, const Out<float, 2>& distances,
                const Out<int64_t, 2>& rows) const {
        require_queries(queries);
        const int64_t n = extent(queries, 0), k = extent(distances, 1);
        require(threads >= 1, "threads must be at least 1");
        require(fits(chunks), "the chunks are of another layout");
        require(extent(distances, 0) == n && extent(rows, 0) == n && extent(rows, 1) == k, "results must be (n, k)");
        nb::gil_scoped_release released;
        return nearest(queries.data(), n, chunks, k, threads, distances.data(), rows.data());
    }

    bool fits(const PreparedChunks& chunks) const override {
        return chunks.layout().kind == layout_.kind && chunks.layout().M == layout_.M &&
               chunks.layout().table_size == layout_.table_size;
    }

    bool fits(const PreparedLists& lists) const override { return lists.fits(layout_, dimension()); }

    int64_t dimension() const override { return columns_.M * columns_.Ds; }

    bool nearest(const float* queries, int64_t n, const PreparedChunks& chunks, int64_t k, int threads,
                 float* distances, int64_t* rows) const override {
        Scratch tables(static_cast<size_t>(n * columns_.M * columns_.table_size));
        if (!fill(queries, n, threads, tables.data())) return false;
        kernels_->scan({chunks.list().data(), chunks.list().size(), layout_, tables.data(), n, k, threads, distances,
                        rows});
        if (dot_) {
            // Of tables that were negated, so that the least is nearest.
            for (int64_t i = 0; i < n * k; ++i) distances[i] = -distances[i];
        }
        return true;
    }

    // The k nearest rows of each query in the lists that it reads and in rows that are in no list. What was read of
    // each goes to `read` (n, 3): lists, rows, pieces. None: a query, or a distance to a codeword, is not finite;
    // otherwise the chunks, (run, chunk), that have to be put there before it can be answered: none when it is.
    std::optional<std::vector<std::pair<int64_t, int64_t>>> search_lists(const In<float, 2>& queries,
                                                                         const PreparedLists& lists, int64_t most,
                                                                         int64_t budget, int64_t least, int threads,
                                                                         const Out<float, 2>& distances,
                                                                         const Out<int64_t, 2>& rows,
                                                                         const Out<int64_t, 2>& read) const {
        require_queries(queries);
        const int64_t n = extent(queries, 0), k = extent(distances, 1);
        require(threads >= 1 && most >= 1 && budget >= 1, "threads, lists and rows must be at least 1");
        require(least >= 0 && (least <= k || lists.selected()), "no more than k rows can be found");
        require(fits(lists), "the lists are of another layout");
        require(extent(distances, 0) == n && extent(rows, 0) == n && extent(rows, 1) == k && extent(read, 0) == n &&
                    extent(read, 1) == 3,
                "results must be (n, k), and what was read (n, 3)");
        std::vector<MissingChunk> missing;
        {
            nb::gil_scoped_release released;
            const ListRequest request = lists.request(kernels_, most, budget, least, k, true);
            const ListResults results{distances.data(), rows.data(), read.data(), nullptr};
            if (!read_lists(request, queries.data(), n, threads, results, missing)) return std::nullopt;
        }
        std::vector<std::pair<int64_t, int64_t>> wanted;
        for (const MissingChunk& chunk : missing) wanted.emplace_back(chunk.run, chunk.chunk);
        return wanted;
    }

    bool nearest_in_lists(const float* queries, int64_t n, const PreparedLists& lists, const ListEffort& effort,
                          int64_t k, int threads, bool ordered, ListFollower* follower, float* distances,
                          int64_t* rows) const override {
        std::vector<MissingChunk> missing;
        const ListRequest request = lists.request(kernels_, effort.lists, effort.rows, effort.least, k, ordered);
        const ListResults results{distances, rows, nullptr, follower};
        return read_lists(request, queries, n, threads, results, missing) && missing.empty();
    }

  private:
    struct ListResults {
        float* distances;
        int64_t* rows;
        int64_t* read;           // null: nobody asks what was read
        ListFollower* follower;  // null: there is none
    };

    // False: a query, or a distance to a codeword, is not finite. Where chunks are `missing` the results are none.
    bool read_lists(const ListRequest& request, const float* queries, int64_t n, int threads, const ListResults& results,
                    std::vector<MissingChunk>& missing) const {
        constexpr int64_t kTogether = 16;
        const int64_t each = std::clamp<int64_t>((n + threads - 1) / threads, 1, kTogether);
        std::atomic<bool> finite{true};
        std::mutex lock;
        parallel_for(threads, (n + each - 1) / each, [&](int, int64_t task) {
            std::vector<MissingChunk> mine;
            const int64_t first = task * each, count = std::min(each, n - first);
            if (!search_lists_of(request, n == 1 ? threads : 1, queries, first, count, results, mine))
                finite.store(false, std::memory_order_relaxed);
            if (mine.empty()) return;
            std::lock_guard<std::mutex> hold(lock);
            missing.insert(missing.end(), mine.begin(), mine.end());
        });
        if (finite && missing.empty() && dot_)
            for (int64_t i = 0; i < n * request.k; ++i) results.distances[i] = -results.distances[i];
        return finite;
    }

    // Some queries one after another, their tables and the orders of their lists made together. False: one, or a
    // distance to a codeword, is not finite.
    bool search_lists_of(const ListRequest& request, int threads, const float* queries, int64_t first, int64_t count,
                         const ListResults& results, std::vector<MissingChunk>& missing) const {
        const int64_t D = columns_.M * columns_.Ds, size = columns_.M * columns_.table_size, k = request.k;
        Scratch tables(static_cast<size_t>(count * size));
        if (!fill(queries + first * D, count, 1, tables.data())) return false;
        std::vector<std::unique_ptr<ListOrder>> orders;
        const int64_t expected = expected_lists(request);
        for (int64_t q = first; q < first + count; ++q)
            orders.push_back(std::make_unique<ListOrder>(*kernels_, request.grid, queries + q * D, expected));
        ListOrder::score(orders.data(), count);
        for (int64_t i = 0; i < count; ++i) {
            const int64_t q = first + i;
            ListsRead found{};
            pqstore::search_lists(request, *orders[static_cast<size_t>(i)], tables.data() + i * size, threads,
                                  results.distances + q * k, results.rows + q * k, found, missing);
            const int64_t counts[] = {found.lists, found.rows, found.pieces};
            if (results.read) std::copy(counts, counts + 3, results.read + 3 * q);
            if (results.follower && missing.empty()) results.follower->follow(q, i == 0 ? -1 : q - 1);
        }
        if (results.follower && missing.empty()) results.follower->follow(-1, first + count - 1);
        return true;
    }

    void require_queries(const In<float, 2>& queries) const {
        require(extent(queries, 1) == columns_.M * columns_.Ds, "queries must be (n, M * Ds)");
    }

    bool fill(const float* queries, int64_t n, int threads, float* tables) const {
        constexpr int64_t kQueries = 8;  // a task
        const int64_t size = columns_.M * columns_.table_size;
        std::atomic<bool> finite{true};
        parallel_for(threads, (n + kQueries - 1) / kQueries, [&](int, int64_t task) {
            const int64_t first = task * kQueries, count = std::min(kQueries, n - first);
            float* out = tables + first * size;
            if (!kernels_->scan_tables(queries + first * columns_.M * columns_.Ds, count, columns_, dot_, out))
                finite.store(false, std::memory_order_relaxed);
            for (int64_t q = 0; q < count; ++q)
                for (const int64_t entry : unused_) out[q * size + entry] = std::numeric_limits<float>::infinity();
        });
        return finite;
    }

    struct Release {
        void operator()(float* values) const { ::operator delete[](values, std::align_val_t{kScratchAlignment}); }
    };

    const KernelSet* kernels_;
    bool dot_;
    Layout layout_{};
    std::unique_ptr<float[], Release> values_;
    std::vector<int64_t> unused_;  // entries of a table that no codeword has
    CodewordColumns columns_{};
};

}  // namespace

void bind_searcher(nb::module_& module) {
    const auto exactly = [](const char* name) { return nb::arg(name).noconvert(); };
    nb::class_<PreparedChunks>(module, "PreparedChunks")
        .def(nb::init<nb::handle, const std::string&, int64_t, int64_t>(), "chunks"_a, "kind"_a, "M"_a, "table_size"_a);
    nb::class_<ChunkSearch>(module, "ChunkSearch");
    nb::class_<Searcher, ChunkSearch>(module, "Searcher")
        .def(nb::init<const std::string&, const std::string&, const In<float, 3>&, std::optional<In<uint8_t, 2>>,
                      int64_t, bool>(),
             "kernels"_a, "kind"_a, exactly("codewords"), exactly("labels").none(), "table_size"_a, "dot"_a)
        .def("tables", &Searcher::tables, exactly("queries"), exactly("tables"))
        .def("search", &Searcher::search, exactly("queries"), "chunks"_a, "threads"_a, exactly("distances"),
             exactly("rows"))
        .def("search_lists", &Searcher::search_lists, exactly("queries"), "lists"_a, "most"_a, "budget"_a, "least"_a,
             "threads"_a,
             exactly("distances"), exactly("rows"), exactly("read"));
    bind_prepared_lists(module);
}

}  // namespace pqstore
