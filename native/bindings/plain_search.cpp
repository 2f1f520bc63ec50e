// Searches of the newest state, from queries to ids in one call, by codes or re-ranked: what most searches are, and what
// they would otherwise spend much of their time around.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <tuple>
#include <utility>
#include <vector>

#include "bindings/chunk_search.h"
#include "bindings/exact_ranking.h"
#include "bindings/held_buffers.h"
#include "bindings/known_state.h"
#include "bindings/parts.h"
#include "services/parallel.h"
#include "storage/id_parts.h"

using namespace nanobind::literals;

namespace pqstore {
namespace {

constexpr int64_t kMostThreads = 1 << 16, kMostPlaces = int64_t{1} << 24, kMostDepth = 1 << 16;

// Where rows and their ids are: sealed segments are parts of `segment_rows`, the open one has parts of `chunk_rows`.
struct RowIds {
    nb::object sealed_parts, open_parts;
    int64_t segment_rows, chunk_rows, open_segment;

    bool take(const int64_t* rows, int64_t count, int64_t* ids) const {
        const auto& sealed = nb::cast<const IdParts&>(sealed_parts);
        const auto& open = nb::cast<const IdParts&>(open_parts);
        return take_ids_of(sealed, segment_rows, open, chunk_rows, open_segment, rows, static_cast<size_t>(count), ids);
    }
};

// What NumPy makes arrays with.
struct Arrays {
    nb::object type, empty, float32, int64, result;

    // An array of k, or of (n, k).
    nb::object make(int64_t n, int64_t k, bool single, const nb::object& dtype) const {
        return single ? empty(k, dtype) : empty(nb::make_tuple(n, k), dtype);
    }

    // A `SearchResult`, made as its own __new__ makes it.
    nb::object hits(const nb::object& ids, const nb::object& distances) const {
        const nb::tuple both = nb::make_tuple(ids, distances), arguments = nb::make_tuple(both);
        auto* type = reinterpret_cast<PyTypeObject*>(result.ptr());
        nb::object made = nb::steal(PyTuple_Type.tp_new(type, arguments.ptr(), nullptr));
        if (!made.is_valid()) throw nb::python_error();
        return made;
    }
};

// The memory of an array of our own.
template <typename T>
T* memory_of(HeldBuffers& held, const nb::object& array) {
    return static_cast<T*>(held.hold(array.ptr(), PyBUF_WRITABLE).buf);
}

struct Queries {
    const float* values;
    int64_t count;
    bool single;
    const float* given;  // as they came, where `values` are turned for the codes
    const double* wide;  // as originals are compared with them; null: what was given, widened
};

// Where rows are found by codes: in chunks, or in lists as far as the effort goes.
struct Codes {
    const ChunkSearch& searcher;
    const PreparedChunks* chunks;
    const PreparedLists* lists;
    ListEffort effort;

    bool fit() const { return chunks ? searcher.fits(*chunks) : lists && searcher.fits(*lists); }

    bool nearest(const Queries& asked, int64_t k, int threads, float* distances, int64_t* rows) const {
        if (!chunks)
            return searcher.nearest_in_lists(asked.values, asked.count, *lists, effort, k, threads, true, nullptr, distances,
                                             rows);
        return searcher.nearest(asked.values, asked.count, *chunks, k, threads, distances, rows);
    }

    // The same, followed, and in any order.
    bool candidates(const Queries& asked, int64_t k, int threads, bool ordered, ListFollower& follower, float* distances,
                    int64_t* rows) const {
        if (!chunks)
            return searcher.nearest_in_lists(asked.values, asked.count, *lists, effort, k, threads, ordered, &follower,
                                             distances, rows);
        if (!searcher.nearest(asked.values, asked.count, *chunks, k, threads, distances, rows)) return false;
        parallel_for(threads, asked.count, [&](int, int64_t q) {
            follower.follow(q, -1);
            follower.follow(-1, q);
        });
        return true;
    }
};

// Whether the row at a place is as near as the one before it.
bool is_tied(const float* distances, const int64_t* rows, int64_t place) {
    return rows[place] >= 0 && distances[place] == distances[place - 1];
}

// Re-ranks the candidates of each query: their originals come from memory while the candidates of the next are found.
// Where rows do not follow ids, one place more than wanted, of candidates and of the best, says whether others are as
// near as the last.
class ReRanked final : public ListFollower {
  public:
    ReRanked(const ExactRanking& ranking, const StoredFiles& files, const Queries& asked, int64_t k, bool rows_follow_ids,
             float* distances, int64_t* rows)
        : ranking_(ranking),
          files_(files),
          asked_(asked),
          k_(k),
          more_(rows_follow_ids ? 0 : 1),
          distances_(distances),
          rows_(rows),
          near_(static_cast<size_t>(asked.count * places())),
          candidates_(static_cast<size_t>(asked.count * places())) {}

    // False, too: equal distances would have to be put in the order of ids.
    bool rank(const Codes& codes, int threads) {
        return codes.candidates(asked_, places(), threads, more_ == 1, *this, near_.data(), candidates_.data()) && done_;
    }

    void follow(int64_t next, int64_t before) override {
        if (next >= 0) ranking_.fetch_all(files_, candidates_.data() + next * places());
        if (before >= 0 && !finish(before)) done_.store(false, std::memory_order_relaxed);
    }

  private:
    int64_t places() const { return ranking_.candidates() + more_; }

    bool finish(int64_t q) const {
        const int64_t* its = candidates_.data() + q * places();
        if (more_ == 1 && is_tied(near_.data() + q * places(), its, ranking_.candidates())) return false;
        const int64_t D = ranking_.dimension();
        const double* wide = asked_.wide ? asked_.wide + q * D : nullptr;
        std::vector<float> best(static_cast<size_t>(k_ + more_));
        std::vector<int64_t> best_rows(static_cast<size_t>(k_ + more_));
        if (!ranking_.best(files_, asked_.given + q * D, wide, its, k_ + more_, best.data(), best_rows.data())) return false;
        for (int64_t i = 1; more_ == 1 && i <= k_; ++i)
            if (is_tied(best.data(), best_rows.data(), i)) return false;
        std::copy(best.begin(), best.begin() + k_, distances_ + q * k_);
        std::copy(best_rows.begin(), best_rows.begin() + k_, rows_ + q * k_);
        return true;
    }

    const ExactRanking& ranking_;
    const StoredFiles& files_;
    const Queries& asked_;
    int64_t k_, more_;
    float* distances_;
    int64_t* rows_;
    std::vector<float> near_;
    std::vector<int64_t> candidates_;
    std::atomic<bool> done_{true};
};

class PlainSearch {
  public:
    // Of chunks or of lists, whichever is there; with `ranking` re-ranked.
    PlainSearch(const ChunkSearch& searcher, const PreparedChunks* chunks, const PreparedLists* lists, nb::tuple effort,
                const ExactRanking* ranking, const KnownState& state, nb::tuple row_ids, bool rows_follow_ids,
                int64_t most_queries, nb::tuple arrays)
        : codes_{searcher, chunks, lists,
                 {nb::cast<int64_t>(effort[0]), nb::cast<int64_t>(effort[1]), nb::cast<int64_t>(effort[2])}},
          ranking_(ranking),
          state_(state),
          ids_{row_ids[0], row_ids[1], nb::cast<int64_t>(row_ids[2]), nb::cast<int64_t>(row_ids[3]),
               nb::cast<int64_t>(row_ids[4])},
          rows_follow_ids_(rows_follow_ids),
          most_queries_(most_queries),
          arrays_{arrays[0], arrays[1], arrays[2], arrays[3], arrays[4]} {
        require(codes_.fit(), "the codes are of another layout");
        const ListEffort& read = codes_.effort;
        require(!lists || (read.lists >= 1 && read.rows >= 1 && read.least >= 0 && !lists->selected()),
                "lists and rows must be at least 1");
        require(!ranking || ranking->dimension() == searcher.dimension(), "originals have another dimension");
        require(ids_.segment_rows > 0 && ids_.chunk_rows > 0, "parts have rows");
        require(nb::isinstance<IdParts>(ids_.sealed_parts) && nb::isinstance<IdParts>(ids_.open_parts), "parts of ids");
        require(PyType_Check(arrays_.result.ptr()) &&
                    PyType_IsSubtype(reinterpret_cast<PyTypeObject*>(arrays_.result.ptr()), &PyTuple_Type),
                "results are tuples");
    }

    // A `SearchResult`. None where it is not the plain case, or anything is wrong, or another state is the newest: the
    // long way knows what to say and do. `turned` float32 (n, D): the queries in the space of the codewords, and `wide`
    // float64 (n, D): as originals are compared with them; None: as they are.
    nb::object search(nb::handle queries, nb::handle k, nb::handle threads, nb::handle turned, nb::handle wide) const {
        HeldBuffers held;
        held.reserve(5);
        Queries asked{};
        const int64_t count = whole(k, kMostDepth), workers = thread_count(threads);
        if (count == 0 || workers == 0 || !read_queries(queries, held, asked)) return nb::none();
        if (!read_turned(turned, wide, held, asked)) return nb::none();
        const int64_t depth = ranking_ ? ranking_->candidates() : count;
        if (depth < count || codes_.effort.least > depth || asked.count > kMostPlaces / depth) return nb::none();
        const KnownState::Hold hold(state_);
        if (!hold) return nb::none();
        const nb::object distances = arrays_.make(asked.count, count, asked.single, arrays_.float32);
        const nb::object ids = arrays_.make(asked.count, count, asked.single, arrays_.int64);
        auto* const near = memory_of<float>(held, distances);
        auto* const found = memory_of<int64_t>(held, ids);
        const auto way = ranking_           ? &PlainSearch::re_ranked
                         : rows_follow_ids_ ? &PlainSearch::in_order_of_rows
                                            : &PlainSearch::in_order_of_ids;
        return (this->*way)(asked, count, static_cast<int>(workers), near, found) ? arrays_.hits(ids, distances)
                                                                                  : nb::none();
    }

  private:
    // A whole number from 1; 0: it is something else.
    static int64_t whole(nb::handle number, int64_t most) {
        if (!PyLong_CheckExact(number.ptr())) return 0;
        int overflow = 0;
        const long long value = PyLong_AsLongLongAndOverflow(number.ptr(), &overflow);
        return overflow == 0 && value >= 1 && value <= most ? value : 0;
    }

    // As `resolve_threads`; 0: ask that.
    static int64_t thread_count(nb::handle threads) {
        if (!threads.is_none()) return whole(threads, kMostThreads);
        if (std::getenv("PQSTORE_NUM_THREADS") != nullptr) return 0;
#ifdef __linux__
        cpu_set_t cores;
        if (sched_getaffinity(0, sizeof cores, &cores) == 0) return CPU_COUNT(&cores);
#endif
        return 0;
    }

    // False: they are no array of float32 as the scan reads it.
    bool read_queries(nb::handle queries, HeldBuffers& held, Queries& asked) const {
        if (!nb::handle(reinterpret_cast<PyObject*>(Py_TYPE(queries.ptr()))).is(arrays_.type)) return false;
        const Py_buffer* view = held.hold_if_possible(queries.ptr(), PyBUF_C_CONTIGUOUS | PyBUF_FORMAT);
        if (view == nullptr || std::strcmp(view->format, "f") != 0) return false;
        const int64_t D = codes_.searcher.dimension();
        if (view->ndim < 1 || view->ndim > 2 || view->shape[view->ndim - 1] != D) return false;
        if (reinterpret_cast<uintptr_t>(view->buf) % alignof(float) != 0) return false;
        const auto* values = static_cast<const float*>(view->buf);
        asked = {values, view->ndim == 1 ? 1 : view->shape[0], view->ndim == 1, values, nullptr};
        return asked.count >= 1 && asked.count <= most_queries_;
    }

    // False: they are not of the queries.
    bool read_turned(nb::handle turned, nb::handle wide, HeldBuffers& held, Queries& asked) const {
        if (!turned.is_none()) {
            Queries others{};
            if (!read_queries(turned, held, others) || others.count != asked.count) return false;
            asked.values = others.values;
        }
        if (wide.is_none()) return true;
        const Py_buffer* view = held.hold_if_possible(wide.ptr(), PyBUF_C_CONTIGUOUS | PyBUF_FORMAT);
        if (view == nullptr || std::strcmp(view->format, "d") != 0) return false;
        asked.wide = static_cast<const double*>(view->buf);
        return view->len == asked.count * codes_.searcher.dimension() * static_cast<int64_t>(sizeof(double));
    }

    bool scan(const Queries& asked, int64_t k, int threads, float* distances, int64_t* rows) const {
        nb::gil_scoped_release released;
        return codes_.nearest(asked, k, threads, distances, rows);
    }

    // Where ids ascend with rows, as a scan orders equal distances.
    bool in_order_of_rows(const Queries& asked, int64_t k, int threads, float* distances, int64_t* ids) const {
        return scan(asked, k, threads, distances, ids) && ids_.take(ids, asked.count * k, ids);
    }

    // Equal distances by id: one row more says whether others are as near as the k-th.
    bool in_order_of_ids(const Queries& asked, int64_t k, int threads, float* distances, int64_t* ids) const {
        const auto places = static_cast<size_t>(asked.count * (k + 1));
        std::vector<float> near(places);
        std::vector<int64_t> rows(places);
        if (!scan(asked, k + 1, threads, near.data(), rows.data())) return false;
        for (int64_t q = 0; q < asked.count; ++q) {
            const Queries one{asked.values + q * codes_.searcher.dimension(), 1, true, nullptr, nullptr};
            if (!order_by_id(one, k, threads, near.data() + q * (k + 1), rows.data() + q * (k + 1), distances + q * k,
                             ids + q * k))
                return false;
        }
        return true;
    }

    // The first k of k + 1 rows. False: more rows are as near as the k-th than a deeper scan finds.
    bool order_by_id(const Queries& query, int64_t k, int threads, float* near, int64_t* rows, float* distances,
                     int64_t* ids) const {
        int64_t depth = k + 1;
        std::vector<float> more_near;
        std::vector<int64_t> more_rows;
        if (rows[k] >= 0 && near[k] == near[k - 1]) {
            depth = 4 * k + 64;
            more_near.resize(static_cast<size_t>(depth));
            more_rows.resize(static_cast<size_t>(depth));
            near = more_near.data(), rows = more_rows.data();
            if (!scan(query, depth, threads, near, rows)) return false;
            if (rows[depth - 1] >= 0 && near[depth - 1] == near[k - 1]) return false;
        }
        if (!ids_.take(rows, depth, rows)) return false;
        // Padding comes last: it is infinitely far, which no row is.
        std::vector<std::pair<int64_t, float>> tied;
        for (int64_t first = 0, end; first < k; first = end) {
            end = first + 1;
            while (end < depth && near[end] == near[first]) ++end;
            if (end == first + 1) continue;
            tied.clear();
            for (int64_t i = first; i < end; ++i) tied.emplace_back(rows[i], near[i]);
            std::stable_sort(tied.begin(), tied.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
            for (int64_t i = first; i < end; ++i) std::tie(rows[i], near[i]) = tied[static_cast<size_t>(i - first)];
        }
        std::copy(near, near + k, distances);
        std::copy(rows, rows + k, ids);
        return true;
    }

    // The nearest candidates by their originals.
    bool re_ranked(const Queries& asked, int64_t k, int threads, float* distances, int64_t* ids) const {
        const std::shared_ptr<const StoredFiles> files = ranking_->files();
        bool done = false;
        {
            nb::gil_scoped_release released;
            done = ReRanked(*ranking_, *files, asked, k, rows_follow_ids_, distances, ids).rank(codes_, threads);
        }
        return done && ids_.take(ids, asked.count * k, ids);
    }

    Codes codes_;
    const ExactRanking* ranking_;
    const KnownState& state_;
    RowIds ids_;
    bool rows_follow_ids_;
    int64_t most_queries_;
    Arrays arrays_;
};

}  // namespace

void bind_plain_search(nb::module_& module) {
    nb::class_<KnownState>(module, "KnownState")
        .def(nb::init<nb::object, nb::object, nb::object, nb::object, int64_t>(), "reference"_a, "shared"_a,
             "generation"_a, "begin"_a, "number"_a);
    nb::class_<ExactRanking>(module, "ExactRanking")
        .def(nb::init<const std::string&, const std::string&, nb::dict, int64_t, int64_t, bool, int64_t>(), "kind"_a,
             "metric"_a, "files"_a, "segment_rows"_a, "D"_a, "portable"_a, "candidates"_a);
    nb::class_<PlainSearch>(module, "PlainSearch")
        .def(nb::init<const ChunkSearch&, const PreparedChunks*, const PreparedLists*, nb::tuple, const ExactRanking*,
                      const KnownState&, nb::tuple, bool, int64_t, nb::tuple>(),
             "searcher"_a, nb::arg("chunks").none(), nb::arg("lists").none(), "effort"_a, nb::arg("ranking").none(),
             "state"_a, "row_ids"_a, "rows_follow_ids"_a, "most_queries"_a, "arrays"_a, nb::keep_alive<1, 2>(),
             nb::keep_alive<1, 3>(), nb::keep_alive<1, 4>(), nb::keep_alive<1, 6>(), nb::keep_alive<1, 7>())
        .def("search", &PlainSearch::search, nb::arg("queries").none(), nb::arg("k").none(), nb::arg("threads").none(),
             nb::arg("turned") = nb::none(), nb::arg("wide") = nb::none());
}

}  // namespace pqstore
