// The part of the Python module that holds inverted lists, ready to be searched.
#include "bindings/prepared_lists.h"

#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <cmath>
#include <limits>

using namespace nanobind::literals;

namespace pqstore {
namespace {

constexpr int64_t kMostRow = std::numeric_limits<int64_t>::max() - (int64_t{1} << 33);
constexpr int64_t kInCaches = int64_t{4} << 20;  // bytes of codes that caches can be expected to hold
constexpr int64_t kWidth = 16;  // centroids are filled up to a multiple of it

template <typename T, typename Array>
std::vector<T> copied(const Array& array) {
    return std::vector<T>(array.data(), array.data() + array.size());
}

bool within(const std::vector<int16_t>& steps, double largest) {
    return std::all_of(steps.begin(), steps.end(), [&](int16_t step) { return std::abs(step) <= largest; });
}

bool within(const std::vector<int32_t>& halves) {
    return std::all_of(halves.begin(), halves.end(), [](int32_t half) { return std::abs(half) <= 1 << 29; });
}

bool same_layout(const Layout& a, const Layout& b) {
    return a.kind == b.kind && a.M == b.M && a.table_size == b.table_size;
}

}  // namespace

PreparedRun::PreparedRun(const std::string& kind, int64_t M, int64_t table_size, const In<uint32_t, 1>& offsets,
                         int64_t first_row, int64_t chunk_rows)
    : layout_(checked_layout(kind, M, table_size)), offsets_(copied<uint32_t>(offsets)) {
    require(offsets_.size() >= 2 && offsets_.front() == 0 && std::is_sorted(offsets_.begin(), offsets_.end()),
            "offsets must ascend from 0");
    require(first_row >= 0 && first_row <= kMostRow, "first_row is out of range");
    require(chunk_rows >= kBlockRows && chunk_rows % kBlockRows == 0 && chunk_rows <= int64_t{1} << 32,
            "chunks must have whole blocks of rows");
    rows_ = offsets_.back();
    chunk_count_ = (rows_ + chunk_rows - 1) / chunk_rows;
    codes_.reset(new std::atomic<const uint8_t*>[static_cast<size_t>(chunk_count_)]());
    numbers_.reset(new std::atomic<const uint32_t*>[static_cast<size_t>(chunk_count_)]());
    buffers_.reserve(2 * static_cast<size_t>(chunk_count_));
    run_ = {offsets_.data(), first_row, chunk_rows, codes_.get(), numbers_.get()};
}

void PreparedRun::put(int64_t chunk, nb::handle codes, nb::handle numbers) {
    require(chunk >= 0 && chunk < chunk_count_, "there is no such chunk");
    const auto place = static_cast<size_t>(chunk);
    if (codes_[place].load(std::memory_order_acquire)) return;
    const int64_t rows = std::min(run_.chunk_rows, rows_ - chunk * run_.chunk_rows);
    const Py_buffer& packed = buffers_.hold(codes.ptr(), PyBUF_C_CONTIGUOUS);
    const Py_buffer& of_rows = buffers_.hold(numbers.ptr(), PyBUF_C_CONTIGUOUS);
    require(packed.itemsize == 1 && packed.len >= layout_.packed_size(rows), "codes are shorter than their rows");
    require(of_rows.itemsize == 4 && of_rows.len >= 4 * rows && reinterpret_cast<uintptr_t>(of_rows.buf) % 4 == 0,
            "numbers must be uint32, one a row, at an address that suits them");
    numbers_[place].store(static_cast<const uint32_t*>(of_rows.buf), std::memory_order_relaxed);
    codes_[place].store(static_cast<const uint8_t*>(packed.buf), std::memory_order_release);
}

PreparedGrid::PreparedGrid(const In<int16_t, 2>& centroids, const In<int32_t, 1>& halves,
                           const In<int16_t, 2>& groups, const In<int32_t, 1>& group_halves,
                           const In<int64_t, 1>& first, int64_t D, int64_t looked, double scale, double largest)
    : centroids_(copied<int16_t>(centroids)),
      groups_(copied<int16_t>(groups)),
      halves_(copied<int32_t>(halves)),
      group_halves_(copied<int32_t>(group_halves)),
      first_(copied<int64_t>(first)) {
    const int64_t P = extent(centroids, 0), G = extent(groups, 0), width = extent(centroids, 1);
    require(P >= 1 && P <= int64_t{1} << 20 && G >= 1 && G <= P, "the numbers of partitions and groups are out of range");
    require(D >= 1 && width >= D && width % kWidth == 0 && extent(groups, 1) == width,
            "centroids must be filled up to a multiple of 16");
    require(extent(halves, 0) == P && extent(group_halves, 0) == G && extent(first, 0) == G + 1,
            "there must be one half a centroid, and a first partition for each group");
    require(first_.front() == 0 && first_.back() == P && std::is_sorted(first_.begin(), first_.end()),
            "the partitions of groups must ascend");
    require(looked >= 1 && scale >= 0 && std::isfinite(scale), "looked and scale are out of range");
    // So no sum of products leaves 32 bits.
    require(largest >= 1 && largest <= 32767 && static_cast<double>(width) * largest * largest <= 1 << 30,
            "largest is out of range");
    require(within(centroids_, largest) && within(groups_, largest) && within(halves_) && within(group_halves_),
            "a centroid is beyond the grid");
    grid_ = {centroids_.data(), halves_.data(), groups_.data(), group_halves_.data(), first_.data(), P, G, D, width,
             looked, scale, largest};
}

PreparedLists::PreparedLists(const PreparedGrid& grid, const std::vector<const PreparedRun*>& runs,
                             const PreparedChunks& flat, const In<int64_t, 1>& segments, nb::handle dead,
                             int64_t segment_rows, bool selected)
    : grid_(grid.grid()),
      layout_(flat.layout()),
      flat_(flat),
      segments_(copied<int64_t>(segments)),
      segment_rows_(segment_rows) {
    require(segment_rows >= 1 && segment_rows <= int64_t{1} << 32, "segment_rows is out of range");
    require(std::is_sorted(segments_.begin(), segments_.end()), "segments must ascend");
    int64_t bytes = 0;
    for (const PreparedRun* run : runs) {
        require(run->partitions() == grid_.P, "a run has other partitions");
        require(same_layout(run->layout(), layout_), "a run is of another layout");
        runs_.push_back(run->run());
        bytes += run->rows() * (layout_.block_bytes() / kBlockRows);
    }
    scattered_ = bytes > kInCaches;
    const nb::object fast = nb::steal(PySequence_Fast(dead.ptr(), "bitmaps must be a sequence"));
    if (!fast.is_valid()) throw nb::python_error();
    require(PySequence_Fast_GET_SIZE(fast.ptr()) == static_cast<Py_ssize_t>(segments_.size()), "one bitmap a segment");
    buffers_.reserve(segments_.size());
    for (size_t i = 0; i < segments_.size(); ++i) {
        PyObject* item = PySequence_Fast_GET_ITEM(fast.ptr(), static_cast<Py_ssize_t>(i));
        const uint8_t* bits = nullptr;
        if (item != Py_None) {
            const Py_buffer& buffer = buffers_.hold(item, PyBUF_C_CONTIGUOUS);
            require(buffer.itemsize == 1 && buffer.len >= (segment_rows + 7) / 8, "a bitmap is shorter than a segment");
            bits = static_cast<const uint8_t*>(buffer.buf);
        }
        dead_.push_back(bits);
    }
    if (selected) marks_ = std::make_unique<ListMarks>(runs_, grid_.P);
}

bool PreparedLists::fits(const Layout& layout, int64_t D) const { return same_layout(layout, layout_) && grid_.D == D; }

ListRequest PreparedLists::request(const KernelSet* kernels, int64_t lists, int64_t rows, int64_t least,
                                   int64_t k, bool ordered) const {
    return {kernels,
            layout_,
            grid_,
            runs_.data(),
            static_cast<int64_t>(runs_.size()),
            flat_.list().data(),
            flat_.list().size(),
            {segments_.data(), dead_.data(), static_cast<int64_t>(segments_.size()), segment_rows_},
            marks_.get(),
            lists,
            rows,
            least,
            k,
            scattered_,
            ordered};
}

void bind_prepared_lists(nb::module_& module) {
    const auto exactly = [](const char* name) { return nb::arg(name).noconvert(); };
    nb::class_<PreparedRun>(module, "PreparedRun")
        .def(nb::init<const std::string&, int64_t, int64_t, const In<uint32_t, 1>&, int64_t, int64_t>(), "kind"_a,
             "M"_a, "table_size"_a, exactly("offsets"), "first_row"_a, "chunk_rows"_a)
        .def("put", &PreparedRun::put, "chunk"_a, "codes"_a, "numbers"_a);
    nb::class_<PreparedGrid>(module, "PreparedGrid")
        .def(nb::init<const In<int16_t, 2>&, const In<int32_t, 1>&, const In<int16_t, 2>&, const In<int32_t, 1>&,
                      const In<int64_t, 1>&, int64_t, int64_t, double, double>(),
             exactly("centroids"), exactly("halves"), exactly("groups"), exactly("group_halves"), exactly("first"),
             "D"_a, "looked"_a, "scale"_a, "largest"_a);
    // It points into its runs, its grid and its chunks.
    nb::class_<PreparedLists>(module, "PreparedLists")
        .def(nb::init<const PreparedGrid&, const std::vector<const PreparedRun*>&, const PreparedChunks&,
                      const In<int64_t, 1>&, nb::handle, int64_t, bool>(),
             "grid"_a, "runs"_a, "flat"_a, exactly("segments"), "dead"_a, "segment_rows"_a, "selected"_a,
             nb::keep_alive<1, 2>(), nb::keep_alive<1, 3>(), nb::keep_alive<1, 4>());
}

}  // namespace pqstore
