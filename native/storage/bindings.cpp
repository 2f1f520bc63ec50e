// The Python module pqstore.storage._native: checks sizes and types, then loops over rows.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <vector>

#include "pack_payloads.h"
#include "rows.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace pqstore {
namespace {

template <typename T, int kAxes>
using Array = nb::ndarray<T, nb::ndim<kAxes>, nb::c_contig, nb::device::cpu>;

void require(bool condition, const char* what) {
    if (!condition) throw nb::value_error(what);
}

void set_rows(Array<const uint16_t, 1> rows, Array<uint8_t, 1> mask) {
    require(mark_rows(rows.data(), rows.size(), mask.data(), mask.size()), "rows beyond those of the segment");
}

void set_runs(Array<const uint16_t, 2> runs, Array<uint8_t, 1> mask) {
    require(runs.shape(1) == 2, "a run is its first and its last row");
    require(mark_runs(runs.data(), runs.shape(0), mask.data(), mask.size()), "runs beyond the rows of the segment");
}

// Of all but the last four bytes of each row, which are for its checksum.
void checksums(Array<const uint8_t, 2> stored, Array<const int64_t, 1> rows, Array<uint32_t, 1> sums) {
    const size_t count = stored.shape(0), stride = stored.shape(1);
    require(rows.size() == count && sums.size() == count && stride >= 4, "one row number and one checksum a row");
    nb::gil_scoped_release released;
    row_checksums(stored.data(), stride - 4, stride, rows.data(), count, sums.data());
}

// `files` by segment: uint8 (rows, size + 4). False: a row is in no file, or its checksum does not match.
bool gather(nb::dict files, int64_t segment_rows, Array<const int64_t, 1> rows, Array<uint8_t, 2> out) {
    using File = Array<const uint8_t, 2>;
    const size_t count = rows.size(), size = out.shape(1), stride = size + 4;
    require(out.shape(0) == count && segment_rows > 0, "one place for each row");
    std::vector<StoredRow> stored(count);
    std::vector<File> held;  // while the GIL is released
    int64_t segment = -1, rows_there = 0;
    const uint8_t* base = nullptr;
    for (size_t i = 0; i < count; ++i) {
        const int64_t row = rows.data()[i], its_segment = row / segment_rows, position = row % segment_rows;
        if (row < 0) return false;
        if (its_segment != segment) {
            PyObject* file = PyDict_GetItemWithError(files.ptr(), nb::int_(its_segment).ptr());
            if (file == nullptr) {
                if (PyErr_Occurred()) throw nb::python_error();
                return false;
            }
            File array;
            require(nb::try_cast(nb::handle(file), array) && array.shape(1) == stride, "a file of rows of another size");
            segment = its_segment;
            base = array.data();
            rows_there = static_cast<int64_t>(array.shape(0));
            held.push_back(std::move(array));
        }
        if (position >= rows_there) return false;
        stored[i] = {base + static_cast<size_t>(position) * stride, row};
    }
    nb::gil_scoped_release released;
    return gather_rows(stored.data(), count, size, out.data());
}

}  // namespace
}  // namespace pqstore

NB_MODULE(_native, module) {
    // Arrays are taken as they are or refused: what is written into a converted copy would be lost.
    const auto exactly = [](const char* name) { return nb::arg(name).noconvert(); };
    module.doc() = "Compiled loops over rows, for pqstore.storage.";
    module.def("pack_payloads", &pqstore::pack_payloads, "payloads"_a, "numbers"_a, "slow"_a, exactly("ends"));
    module.def("set_rows", &pqstore::set_rows, exactly("rows"), exactly("mask"));
    module.def("set_runs", &pqstore::set_runs, exactly("runs"), exactly("mask"));
    module.def("checksums", &pqstore::checksums, exactly("stored"), exactly("rows"), exactly("sums"));
    module.def("gather", &pqstore::gather, "files"_a, "segment_rows"_a, exactly("rows"), exactly("out"));
}
