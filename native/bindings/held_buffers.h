// Memory of Python objects that stays while the GIL is released.
#pragma once

#include <nanobind/nanobind.h>

#include <vector>

namespace pqstore {

namespace nb = nanobind;

class HeldBuffers {
  public:
    HeldBuffers() = default;
    HeldBuffers(const HeldBuffers&) = delete;
    HeldBuffers& operator=(const HeldBuffers&) = delete;
    ~HeldBuffers() {
        for (Py_buffer& buffer : buffers_) PyBuffer_Release(&buffer);
    }

    // No more than `count` are held: a Py_buffer must not move.
    void reserve(size_t count) { buffers_.reserve(count); }

    const Py_buffer& hold(PyObject* array, int flags) {
        Py_buffer buffer;
        if (PyObject_GetBuffer(array, &buffer, flags) != 0) throw nb::python_error();
        buffers_.push_back(buffer);
        return buffers_.back();
    }

    // Null: it has no such memory.
    const Py_buffer* hold_if_possible(PyObject* array, int flags) {
        Py_buffer buffer;
        if (PyObject_GetBuffer(array, &buffer, flags) != 0) {
            PyErr_Clear();
            return nullptr;
        }
        buffers_.push_back(buffer);
        return &buffers_.back();
    }

  private:
    std::vector<Py_buffer> buffers_;
};

inline int64_t whole_number(PyObject* number) {
    const long long value = PyLong_AsLongLong(number);
    if (value == -1 && PyErr_Occurred()) throw nb::python_error();
    return value;
}

}  // namespace pqstore
