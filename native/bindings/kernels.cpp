// The part of the Python module that calls kernels: checks sizes and types, lets go of the GIL.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "bindings/chunk_list.h"
#include "bindings/parts.h"
#include "common/labels.h"
#include "common/relabel.h"
#include "services/crc32.h"
#include "services/dispatch.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace pqstore {
namespace {

using Bytes = nb::ndarray<const uint8_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
// Codes of 1, 2 or 4 bytes, unsigned.
using AnyCodes = nb::ndarray<nb::ro, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using AnyCodesOut = nb::ndarray<nb::ndim<2>, nb::c_contig, nb::device::cpu>;

int code_width(nb::dlpack::dtype dtype) {
    require(dtype.code == static_cast<uint8_t>(nb::dlpack::dtype_code::UInt) && dtype.lanes == 1 && dtype.bits <= 32,
            "codes must be uint8, uint16 or uint32");
    return dtype.bits / 8;
}

void require_width(int64_t Ks, int width) {
    require(Ks <= (int64_t{1} << (8 * width)), "the dtype of the codes cannot hold Ks - 1");
}

// One set of kernels, as Python sees it. Every result is written into arrays that the caller made.
class BoundKernels {
  public:
    explicit BoundKernels(const std::string& name) : kernels_(find_kernels(name)) {
        if (!kernels_) throw nb::value_error(("no kernels named " + name + " run here").c_str());
    }

    std::string name() const { return kernels_->name; }

    void dtables(const In<float, 2>& queries, const In<float, 3>& codewords, bool dot,
                 const Out<float, 3>& tables) const {
        const Codewords checked = checked_codewords(codewords);
        const int64_t n = extent(queries, 0);
        require(extent(queries, 1) == checked.M * checked.Ds, "queries must be (n, M * Ds)");
        require(extent(tables, 0) == n && extent(tables, 1) == checked.M && extent(tables, 2) == checked.Ks,
                "tables must be (n, M, Ks)");
        nb::gil_scoped_release released;
        kernels_->dtables(queries.data(), n, checked, dot, tables.data());
    }

    void adist(const In<float, 2>& table, const AnyCodes& codes, int threads, const Out<float, 1>& distances) const {
        const CodeRows rows{codes.data(), extent(codes, 0), extent(codes, 1), code_width(codes.dtype())};
        require(rows.M >= 1 && extent(table, 0) == rows.M, "the table must be (M, Ks) with the codes' M");
        require(extent(distances, 0) == rows.n, "distances must be (n,)");
        nb::gil_scoped_release released;
        kernels_->adist(table.data(), extent(table, 1), rows, threads, distances.data());
    }

    void encode(const In<float, 2>& vectors, const In<float, 3>& codewords, int threads,
                const AnyCodesOut& codes) const {
        const Codewords checked = checked_codewords(codewords);
        const int64_t n = extent(vectors, 0);
        const int width = code_width(codes.dtype());
        require_width(checked.Ks, width);
        require(extent(vectors, 1) == checked.M * checked.Ds, "vectors must be (n, M * Ds)");
        require(extent(codes, 0) == n && extent(codes, 1) == checked.M, "codes must be (n, M)");
        nb::gil_scoped_release released;
        kernels_->encode(vectors.data(), n, checked, threads, width, codes.data());
    }

    void lloyd_step(const In<float, 3>& groups, const In<float, 3>& codewords, int threads, const AnyCodesOut& labels,
                    const Out<double, 3>& sums, const Out<int64_t, 2>& counts) const {
        const Codewords checked = checked_codewords(codewords);
        const int64_t M = checked.M, Ks = checked.Ks, n = extent(groups, 1);
        const int width = code_width(labels.dtype());
        require_width(Ks, width);
        require(extent(groups, 0) == M && extent(groups, 2) == checked.Ds, "groups must be (M, n, Ds)");
        require(extent(labels, 0) == M && extent(labels, 1) == n, "labels must be (M, n)");
        require(extent(sums, 0) == M && extent(sums, 1) == Ks && extent(sums, 2) == checked.Ds,
                "sums must be (M, Ks, Ds)");
        require(extent(counts, 0) == M && extent(counts, 1) == Ks, "counts must be (M, Ks)");
        nb::gil_scoped_release released;
        kernels_->lloyd_step(groups.data(), n, checked, threads, width, labels.data(), sums.data(), counts.data());
    }

    void pack(const std::string& kind, const In<uint8_t, 2>& codes, const Out<uint8_t, 1>& packed) const {
        const Layout layout = checked_layout(kind, extent(codes, 1), kind == "block4" ? 16 : 256);
        require(layout.in_blocks(), "only block layouts are packed");
        require(extent(packed, 0) == layout.packed_size(extent(codes, 0)), "packed has the wrong size");
        nb::gil_scoped_release released;
        kernels_->pack(layout, codes.data(), extent(codes, 0), packed.data());
    }

    void unpack(const std::string& kind, const Bytes& packed, const Out<uint8_t, 2>& codes) const {
        const Layout layout = checked_layout(kind, extent(codes, 1), kind == "block4" ? 16 : 256);
        require(layout.in_blocks(), "only block layouts are unpacked");
        require(extent(packed, 0) >= layout.packed_size(extent(codes, 0)), "packed codes are shorter than the rows");
        nb::gil_scoped_release released;
        kernels_->unpack(layout, packed.data(), extent(codes, 0), codes.data());
    }

    void scan_labels(const In<float, 3>& codewords, const Out<uint8_t, 2>& labels) const {
        const Codewords checked = checked_codewords(codewords);
        require(checked.Ks <= 256, "labels are for at most 256 codewords");
        require(extent(labels, 0) == checked.M && extent(labels, 1) == checked.Ks, "labels must be (M, Ks)");
        nb::gil_scoped_release released;
        pqstore::scan_labels(checked, labels.data());
    }

    // The same for every instruction set: nothing but loads from a table of 256 bytes.
    void relabel(const In<uint8_t, 2>& labels, const In<uint8_t, 2>& codes, const Out<uint8_t, 2>& renamed) const {
        const int64_t n = extent(codes, 0), M = extent(codes, 1);
        require(extent(labels, 0) == M && extent(labels, 1) == 256, "labels must be (M, 256)");
        require(extent(renamed, 0) == n && extent(renamed, 1) == M, "renamed must be (n, M)");
        nb::gil_scoped_release released;
        relabel_rows(labels.data(), codes.data(), n, M, renamed.data());
    }

    void scan(nb::handle chunks, const std::string& kind, const In<float, 3>& tables, int threads,
              const Out<float, 2>& distances, const Out<int64_t, 2>& rows) const {
        const Layout layout = checked_layout(kind, extent(tables, 1), extent(tables, 2));
        const int64_t queries = extent(tables, 0), k = extent(distances, 1);
        require(threads >= 1, "threads must be at least 1");
        require(extent(distances, 0) == queries && extent(rows, 0) == queries && extent(rows, 1) == k,
                "results must be (n, k)");
        const ChunkList list(chunks, layout);
        nb::gil_scoped_release released;
        kernels_->scan(
            {list.data(), list.size(), layout, tables.data(), queries, k, threads, distances.data(), rows.data()});
    }

  private:
    const KernelSet* kernels_;
};

std::vector<std::string> available() {
    std::vector<std::string> names;
    for (const KernelSet* kernels : runnable_kernels()) names.emplace_back(kernels->name);
    return names;
}

uint32_t checksum(nb::handle object, uint32_t value) {
    Py_buffer buffer;
    if (PyObject_GetBuffer(object.ptr(), &buffer, PyBUF_C_CONTIGUOUS) != 0) throw nb::python_error();
    const auto* bytes = static_cast<const uint8_t*>(buffer.buf);
    const auto size = static_cast<size_t>(buffer.len);
    constexpr size_t kWorthReleasing = 16384;
    if (size >= kWorthReleasing) {
        nb::gil_scoped_release released;
        value = crc32(bytes, size, value);
    } else {
        value = crc32(bytes, size, value);
    }
    PyBuffer_Release(&buffer);
    return value;
}

}  // namespace

void bind_kernels(nb::module_& module) {
    // Arrays are taken as they are or refused: what is written into a converted copy would be lost.
    const auto exactly = [](const char* name) { return nb::arg(name).noconvert(); };
    module.def("available", &available, "Names of the kernels that run on this machine, best first.");
    module.def("crc32", &checksum, "buffer"_a, "value"_a = 0, "CRC-32 of a contiguous buffer, as zlib.crc32.");
    nb::class_<BoundKernels>(module, "NativeKernels")
        .def(nb::init<const std::string&>(), "name"_a)
        .def_prop_ro("name", &BoundKernels::name)
        .def("dtables", &BoundKernels::dtables, exactly("queries"), exactly("codewords"), "dot"_a, exactly("tables"))
        .def("adist", &BoundKernels::adist, exactly("table"), exactly("codes"), "threads"_a, exactly("distances"))
        .def("encode", &BoundKernels::encode, exactly("vectors"), exactly("codewords"), "threads"_a, exactly("codes"))
        .def("lloyd_step", &BoundKernels::lloyd_step, exactly("groups"), exactly("codewords"), "threads"_a,
             exactly("labels"), exactly("sums"), exactly("counts"))
        .def("pack", &BoundKernels::pack, "kind"_a, exactly("codes"), exactly("packed"))
        .def("unpack", &BoundKernels::unpack, "kind"_a, exactly("packed"), exactly("codes"))
        .def("scan_labels", &BoundKernels::scan_labels, exactly("codewords"), exactly("labels"))
        .def("relabel", &BoundKernels::relabel, exactly("labels"), exactly("codes"), exactly("renamed"))
        .def("scan", &BoundKernels::scan, "chunks"_a, "kind"_a, exactly("tables"), "threads"_a, exactly("distances"),
             exactly("rows"));
}

}  // namespace pqstore
