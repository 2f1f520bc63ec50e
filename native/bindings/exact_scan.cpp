// The part of the Python module that searches originals.
#include <nanobind/stl/string.h>

#include <limits>
#include <string>
#include <vector>

#include "bindings/checked.h"
#include "bindings/held_buffers.h"
#include "bindings/original_kinds.h"
#include "bindings/parts.h"
#include "services/dispatch.h"

using namespace nanobind::literals;

namespace pqstore {
namespace {

// Chunks of originals, each the tuple (stored, first_row, dead) of pqstore/kernels/chunk.py. Holds their buffers while
// the GIL is released.
class OriginalChunks {
  public:
    OriginalChunks(nb::handle chunks, int64_t row_bytes) : row_bytes_(row_bytes) {
        const nb::object fast = nb::steal(PySequence_Fast(chunks.ptr(), "chunks must be a sequence"));
        if (!fast.is_valid()) throw nb::python_error();
        const Py_ssize_t count = PySequence_Fast_GET_SIZE(fast.ptr());
        chunks_.reserve(static_cast<size_t>(count));
        buffers_.reserve(2 * static_cast<size_t>(count));
        for (Py_ssize_t i = 0; i < count; ++i) add(PySequence_Fast_GET_ITEM(fast.ptr(), i));
    }

    const OriginalChunk* data() const { return chunks_.data(); }
    int64_t size() const { return static_cast<int64_t>(chunks_.size()); }

  private:
    void add(PyObject* item) {
        require(PyTuple_Check(item) && PyTuple_GET_SIZE(item) == 3, "a chunk is a tuple (stored, first_row, dead)");
        const int64_t first_row = whole_number(PyTuple_GET_ITEM(item, 1));
        const Py_buffer& stored = buffers_.hold(PyTuple_GET_ITEM(item, 0), PyBUF_STRIDES);
        require(stored.itemsize == 1 && stored.ndim == 2, "stored originals are uint8 (rows, row_bytes)");
        const int64_t rows = stored.shape[0];
        require(stored.shape[1] == row_bytes_ && stored.strides[1] == 1, "originals of another size");
        require(rows <= 1 || stored.strides[0] >= row_bytes_, "originals must lie one after another");
        require(first_row >= 0 && first_row <= std::numeric_limits<int64_t>::max() - rows, "first_row is out of range");
        require(rows <= std::numeric_limits<int64_t>::max() - rows_, "too many originals");
        OriginalChunk chunk{static_cast<const uint8_t*>(stored.buf), rows <= 1 ? row_bytes_ : stored.strides[0], rows,
                            first_row, nullptr};
        if (PyTuple_GET_ITEM(item, 2) != Py_None) {
            const Py_buffer& dead = buffers_.hold(PyTuple_GET_ITEM(item, 2), PyBUF_C_CONTIGUOUS);
            require(dead.itemsize == 1 && dead.len >= (rows + 7) / 8,
                    "a chunk's bitmap of dead rows is uint8, and not shorter than its rows");
            chunk.dead = static_cast<const uint8_t*>(dead.buf);
        }
        rows_ += rows;
        if (rows > 0) chunks_.push_back(chunk);
    }

    int64_t row_bytes_;
    int64_t rows_ = 0;
    std::vector<OriginalChunk> chunks_;
    HeldBuffers buffers_;
};

void exact_scan(const std::string& name, const std::string& kind_name, const std::string& metric_name,
                nb::handle chunks, const In<double, 2>& queries, int threads, const Out<float, 2>& distances,
                const Out<int64_t, 2>& rows) {
    const KernelSet* kernels = find_kernels(name);
    if (!kernels) throw nb::value_error(("no kernels named " + name + " run here").c_str());
    const OriginalKind kind = kind_named(kind_name);
    const ExactMetric metric = metric_named(metric_name);
    const int64_t n = extent(queries, 0), D = extent(queries, 1), k = extent(distances, 1);
    require(threads >= 1, "threads must be at least 1");
    require(D >= 1 && D <= (int64_t{1} << 31), "D is out of range");
    require(extent(distances, 0) == n && extent(rows, 0) == n && extent(rows, 1) == k, "results must be (n, k)");
    const OriginalChunks list(chunks, static_cast<int64_t>(bytes_of(kind, static_cast<size_t>(D))));
    nb::gil_scoped_release released;
    kernels->exact_scan({list.data(), list.size(), kind, metric, D, queries.data(), n, k, threads, distances.data(),
                         rows.data()});
}

}  // namespace

void bind_exact_scan(nb::module_& module) {
    const auto exactly = [](const char* name) { return nb::arg(name).noconvert(); };
    module.def("exact_scan", &exact_scan, "kernels"_a, "kind"_a, "metric"_a, "chunks"_a, exactly("queries"), "threads"_a,
               exactly("distances"), exactly("rows"));
}

}  // namespace pqstore
