// The chunks of a scan, as Python hands them over.
#pragma once

#include <nanobind/nanobind.h>

#include <limits>
#include <vector>

#include "bindings/checked.h"
#include "bindings/held_buffers.h"

namespace pqstore {

// The chunks of a scan. Holds their buffers while the GIL is released.
class ChunkList {
  public:
    ChunkList(nb::handle chunks, const Layout& layout) {
        const nb::object fast = nb::steal(PySequence_Fast(chunks.ptr(), "chunks must be a sequence"));
        if (!fast.is_valid()) throw nb::python_error();
        const Py_ssize_t count = PySequence_Fast_GET_SIZE(fast.ptr());
        chunks_.reserve(static_cast<size_t>(count));
        buffers_.reserve(2 * static_cast<size_t>(count));
        for (Py_ssize_t i = 0; i < count; ++i) add(PySequence_Fast_GET_ITEM(fast.ptr(), i), layout);
    }

    const Chunk* data() const { return chunks_.data(); }
    int64_t size() const { return static_cast<int64_t>(chunks_.size()); }

  private:
    // A chunk is the tuple (packed, rows, first_row, dead) of pqstore/kernels/chunk.py.
    void add(PyObject* item, const Layout& layout) {
        require(PyTuple_Check(item) && PyTuple_GET_SIZE(item) == 4,
                "a chunk is a tuple (packed, rows, first_row, dead)");
        const int64_t rows = whole_number(PyTuple_GET_ITEM(item, 1)),
                      first_row = whole_number(PyTuple_GET_ITEM(item, 2));
        require(rows >= 0 && rows <= std::numeric_limits<int64_t>::max() / (64 * (layout.M + 1)) - kBlockRows,
                "rows of a chunk is out of range");
        require(first_row >= 0 && first_row <= std::numeric_limits<int64_t>::max() - rows, "first_row is out of range");
        const Py_buffer& packed = hold(PyTuple_GET_ITEM(item, 0));
        require(packed.len >= layout.packed_size(rows), "a chunk's packed codes are shorter than its rows");
        Chunk chunk{static_cast<const uint8_t*>(packed.buf), rows, first_row, nullptr};
        if (PyTuple_GET_ITEM(item, 3) != Py_None) {
            const Py_buffer& dead = hold(PyTuple_GET_ITEM(item, 3));
            require(dead.len >= (rows + 7) / 8, "a chunk's bitmap of dead rows is shorter than its rows");
            chunk.dead = static_cast<const uint8_t*>(dead.buf);
        }
        if (rows > 0) chunks_.push_back(chunk);
    }

    const Py_buffer& hold(PyObject* array) {
        const Py_buffer& buffer = buffers_.hold(array, PyBUF_C_CONTIGUOUS);
        require(buffer.itemsize == 1, "packed codes and bitmaps are uint8");
        return buffer;
    }

    std::vector<Chunk> chunks_;
    HeldBuffers buffers_;
};

}  // namespace pqstore
