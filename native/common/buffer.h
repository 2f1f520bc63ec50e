// Working memory of kernels: aligned to a cache line, uninitialised.
//
// Everything under common/ sits in an unnamed namespace: each instruction set compiles its own copy with its own flags,
// and the linker can never give the portable kernels a function that was compiled for AVX2. For the same reason kernels
// use no templates of the standard library on plain types.
#pragma once

#include <cstddef>
#include <new>

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
        values_ = static_cast<T*>(::operator new(count * sizeof(T), std::align_val_t{kAlignment}));
        capacity_ = count;
    }

    T* data() { return values_; }
    const T* data() const { return values_; }
    T& operator[](size_t i) { return values_[i]; }
    const T& operator[](size_t i) const { return values_[i]; }

  private:
    static constexpr size_t kAlignment = 64;

    void release() {
        if (values_) ::operator delete(values_, std::align_val_t{kAlignment});
        values_ = nullptr;
        capacity_ = 0;
    }

    T* values_ = nullptr;
    size_t capacity_ = 0;
};

}  // namespace
}  // namespace pqstore
