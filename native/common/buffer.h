// An array in the working memory of kernels: aligned to a cache line, uninitialised.
//
// Everything under common/ sits in an unnamed namespace: each instruction set compiles its own copy with its own flags,
// and the linker can never give the portable kernels a function that was compiled for AVX2. For the same reason kernels
// use no templates of the standard library on plain types.
#pragma once

#include <cstddef>

#include "services/scratch.h"

namespace pqstore {
namespace {

template <typename T>
class Buffer {
  public:
    Buffer() = default;
    explicit Buffer(size_t count) { resize(count); }
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;
    ~Buffer() { release(); }

    // The old contents are lost.
    void resize(size_t count) {
        if (count <= capacity_) return;
        release();
        size_t bytes = count * sizeof(T);
        values_ = static_cast<T*>(take_scratch(bytes));
        bytes_ = bytes;
        capacity_ = bytes / sizeof(T);
    }

    T* data() { return values_; }
    const T* data() const { return values_; }
    T& operator[](size_t i) { return values_[i]; }
    const T& operator[](size_t i) const { return values_[i]; }

  private:
    void release() {
        if (values_) return_scratch(values_, bytes_);
        values_ = nullptr;
        bytes_ = capacity_ = 0;
    }

    T* values_ = nullptr;
    size_t bytes_ = 0;
    size_t capacity_ = 0;  // values
};

}  // namespace
}  // namespace pqstore
