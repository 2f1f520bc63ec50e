// Payloads to msgpack, many at a time.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <cstddef>

namespace pqstore {

// msgpack bytes of `payloads` (dict or None) one after another, and where each ends. Keys of payloads become what
// `numbers` says. `plain(value)` gives the plain value that stands for one of a type which is not known here; the list then
// holds the payload with it. `slow(payload, place)` gives the bytes of a payload that has a key which is not known here or
// a value that no plain one stands for, or that takes more than `most` bytes; it may put into the list what it has packed.
nanobind::bytes pack_payloads(nanobind::list payloads, nanobind::dict numbers, nanobind::callable plain,
                              nanobind::callable slow, std::size_t most,
                              nanobind::ndarray<int64_t, nanobind::ndim<1>, nanobind::c_contig, nanobind::device::cpu> ends);

}  // namespace pqstore
