// The part of the Python module that loops over rows for pqstore.storage: checks sizes and types first.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <vector>

#include "bindings/checked.h"
#include "bindings/parts.h"
#include "bindings/stored_rows.h"
#include "storage/id_parts.h"
#include "storage/pack_payloads.h"
#include "storage/page_heads.h"
#include "storage/rows.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace pqstore {
namespace {

// `ranges` int64 (n, 2): values of a group, from and up to; the others as in ValueRows.
void set_values(const In<uint32_t, 1>& starts, const In<uint16_t, 1>& listed, const In<uint32_t, 2>& dense,
                const In<uint8_t, 1>& blob, const In<int64_t, 2>& ranges, const Out<uint8_t, 1>& mask) {
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
void checksums(const In<uint8_t, 2>& stored, const In<int64_t, 1>& rows, const Out<uint32_t, 1>& sums) {
    const size_t count = stored.shape(0), stride = stored.shape(1);
    require(rows.size() == count && sums.size() == count && stride >= 4, "one row number and one checksum a row");
    nb::gil_scoped_release released;
    row_checksums(stored.data(), stride - 4, stride, rows.data(), count, sums.data());
}

// False: a page begins beyond the end of the file.
bool page_heads(int descriptor, const In<int64_t, 1>& pages, int64_t page_size, const Out<uint8_t, 2>& heads) {
    require(heads.shape(0) == pages.size() && heads.shape(1) == kPageHead && page_size > 0, "16 bytes for each page");
    nb::gil_scoped_release released;
    return read_page_heads(descriptor, pages.data(), pages.size(), page_size, heads.data());
}

// `files` as of StoredRows. False: a row is in no file, or its checksum does not match.
bool gather(const nb::dict& files, int64_t segment_rows, const In<int64_t, 1>& rows, const Out<uint8_t, 2>& out) {
    const size_t count = rows.size(), size = out.shape(1);
    require(out.shape(0) == count, "one place for each row");
    StoredRows in_files(files, segment_rows, size);
    std::vector<StoredRow> stored(count);
    for (size_t i = 0; i < count; ++i)
        if (!in_files.find(rows.data()[i], stored[i])) return false;
    nb::gil_scoped_release released;
    return gather_rows(stored.data(), count, size, out.data());
}

// As of `take_ids_of`. False: a part is missing.
bool take_ids(const IdParts& sealed, int64_t segment_rows, const IdParts& open, int64_t chunk_rows,
              int64_t open_segment, const InAnyShape<int64_t>& rows, const OutAnyShape<int64_t>& ids) {
    require(segment_rows > 0 && chunk_rows > 0, "parts have rows");
    require(ids.size() == rows.size(), "one place for each row");
    return take_ids_of(sealed, segment_rows, open, chunk_rows, open_segment, rows.data(), rows.size(), ids.data());
}

}  // namespace

void bind_storage(nb::module_& module) {
    // Arrays are taken as they are or refused: what is written into a converted copy would be lost.
    const auto exactly = [](const char* name) { return nb::arg(name).noconvert(); };
    module.def("pack_payloads", &pack_payloads, "payloads"_a, "numbers"_a, "plain"_a, "slow"_a,
               "most"_a, exactly("ends"));
    module.def("set_values", &set_values, exactly("starts"), exactly("listed"), exactly("dense"),
               exactly("blob"), exactly("ranges"), exactly("mask"));
    module.def("checksums", &checksums, exactly("stored"), exactly("rows"), exactly("sums"));
    nb::class_<IdParts>(module, "IdParts")
        .def(nb::init<>())
        .def("__setitem__", &IdParts::set, "number"_a, "ids"_a)
        .def("__delitem__", &IdParts::remove, "number"_a)
        .def("__iter__", [](const IdParts& parts) { return nb::iter(parts.numbers()); });
    module.def("take_ids", &take_ids, "sealed"_a, "segment_rows"_a, "open"_a, "chunk_rows"_a,
               "open_segment"_a, exactly("rows"), exactly("ids"));
    module.def("page_heads", &page_heads, "descriptor"_a, exactly("pages"), "page_size"_a, exactly("heads"));
    module.def("gather", &gather, "files"_a, "segment_rows"_a, exactly("rows"), exactly("out"));
}

}  // namespace pqstore
