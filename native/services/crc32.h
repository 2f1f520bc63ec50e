// CRC-32 as in zlib, for the checksums of records.
#pragma once

#include <cstddef>
#include <cstdint>

namespace pqstore {

// Continued from `value`, which is 0 or the result for the bytes before.
uint32_t crc32(const uint8_t* bytes, size_t size, uint32_t value);

#ifdef PQSTORE_HAVE_PCLMUL
// Whether this machine has the instructions for `crc32_fold`.
bool crc32_can_fold();

// Folds the first `size` / 64 * 64 bytes, of at least 64, into 16 bytes with the same checksum: that of `remainder`
// begun from state 0. Returns how many bytes were folded. `state` is the state before the bytes.
size_t crc32_fold(const uint8_t* bytes, size_t size, uint32_t state, uint8_t remainder[16]);
#endif

}  // namespace pqstore
