// Working memory of kernels: what a call gives back, its thread keeps for the next one.
//
// Without this, each search would ask the system for the same pages again, which takes longer than scanning 10,000 rows.
#pragma once

#include <cstddef>

namespace pqstore {

constexpr size_t kScratchAlignment = 64;  // a cache line

// At least `bytes` bytes, uninitialised; `bytes` becomes what there is.
void* take_scratch(size_t& bytes);

// Gives back what take_scratch gave, with its size.
void return_scratch(void* memory, size_t bytes) noexcept;

}  // namespace pqstore
