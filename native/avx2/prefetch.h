// Codes asked for before they are needed.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace pqstore {
namespace {

constexpr int64_t kPrefetchBytes = 4096;  // how far ahead: what the hardware does not do beyond a page

// Asks for `size` bytes that lie `ahead` bytes beyond `codes`. They may lie beyond the codes: a prefetch never faults.
inline void prefetch(const uint8_t* codes, int64_t ahead, int64_t size) {
    const uintptr_t first = reinterpret_cast<uintptr_t>(codes) + static_cast<uintptr_t>(ahead);
    for (uintptr_t line = 0; line < static_cast<uintptr_t>(size); line += 64)
        _mm_prefetch(reinterpret_cast<const char*>(first + line), _MM_HINT_T0);
}

}  // namespace
}  // namespace pqstore
