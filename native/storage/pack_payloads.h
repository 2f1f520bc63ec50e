// Payloads to msgpack, many at a time.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <cstddef>

namespace pqstore {

// A larger payload goes the slow way, which refuses it.
constexpr std::size_t kMaxPayloadBytes = std::size_t{64} << 20;

// msgpack bytes of `payloads` (dict or None) one after another, and where each ends. Keys of payloads become what
// `numbers` says; `slow(payload, place)` gives the bytes of a payload with a key or a value that is not known here.
nanobind::bytes pack_payloads(nanobind::list payloads, nanobind::dict numbers, nanobind::callable slow,
                              nanobind::ndarray<int64_t, nanobind::ndim<1>, nanobind::c_contig, nanobind::device::cpu> ends);

}  // namespace pqstore
