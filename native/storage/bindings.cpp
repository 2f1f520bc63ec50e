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

// `ranges` int64 (n, 2): values of a group, from and up to; the others as in ValueRows.
void set_values(Array<const uint32_t, 1> starts, Array<const uint16_t, 1> listed, Array<const uint32_t, 2> dense,
                Array<const uint8_t, 1> blob, Array<const int64_t, 2> ranges, Array<uint8_t, 1> mask) {
    require(starts.size() > 0 && dense.shape(1) == 4 && ranges.shape(1) == 2, "no group of a column");
    const ValueRows group{starts.data(), starts.size() - 1, listed.data(), listed.size(),
                          dense.data(),  dense.shape(0),    blob.data(),   blob.size()};
    for (size_t i = 0; i < ranges.shape(0); ++i) {
        const int64_t first = ranges.data()[2 * i], last = ranges.data()[2 * i + 1];
        require(first >= 0 && last >= 0 && mark_values(group, static_cast<size_t>(first), static_cast<size_t>(last),
                                                       mask.data(), mask.size()),
                "a set of rows that does not fit the segment");
    }
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
    module.def("pack_payloads", &pqstore::pack_payloads, "payloads"_a, "numbers"_a, "slow"_a, "most"_a,
               exactly("ends"));
    module.def("set_values", &pqstore::set_values, exactly("starts"), exactly("listed"), exactly("dense"),
               exactly("blob"), exactly("ranges"), exactly("mask"));
    module.def("checksums", &pqstore::checksums, exactly("stored"), exactly("rows"), exactly("sums"));
    module.def("gather", &pqstore::gather, "files"_a, "segment_rows"_a, exactly("rows"), exactly("out"));
}
