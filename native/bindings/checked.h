// What bindings check before a kernel is called: kinds, shapes, sizes.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <limits>
#include <string>

#include "contract.h"

namespace pqstore {

namespace nb = nanobind;

template <typename T, int kAxes>
using In = nb::ndarray<const T, nb::ndim<kAxes>, nb::c_contig, nb::device::cpu>;
template <typename T>
using InAnyShape = nb::ndarray<const T, nb::c_contig, nb::device::cpu>;
template <typename T>
using OutAnyShape = nb::ndarray<T, nb::c_contig, nb::device::cpu>;
template <typename T, int kAxes>
using Out = nb::ndarray<T, nb::ndim<kAxes>, nb::c_contig, nb::device::cpu>;

inline void require(bool condition, const char* what) {
    if (!condition) throw nb::value_error(what);
}

template <typename Array>
int64_t extent(const Array& array, size_t i) {
    return static_cast<int64_t>(array.shape(i));
}

inline Codewords checked_codewords(const In<float, 3>& codewords) {
    const Codewords checked{codewords.data(), extent(codewords, 0), extent(codewords, 1), extent(codewords, 2)};
    require(checked.Ks >= 1 && checked.Ds >= 1, "codewords must have Ks >= 1 and Ds >= 1");
    require(checked.Ks <= std::numeric_limits<int32_t>::max(), "too many codewords");
    return checked;
}

inline Layout checked_layout(const std::string& kind, int64_t M, int64_t table_size) {
    require(M >= 1 && M <= (1 << 24), "M is out of range");
    require(table_size >= 1, "table_size is out of range");
    if (kind == "block8") {
        require(table_size == 256, "block8 takes tables of 256 entries");
        return {LayoutKind::kBlock8, M, table_size};
    }
    if (kind == "block4") {
        require(table_size == 16, "block4 takes tables of 16 entries");
        return {LayoutKind::kBlock4, M, table_size};
    }
    if (kind == "rows16") return {LayoutKind::kRows16, M, table_size};
    if (kind == "rows32") return {LayoutKind::kRows32, M, table_size};
    throw nb::value_error(("unknown layout " + kind).c_str());
}

}  // namespace pqstore
