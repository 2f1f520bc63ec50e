// CRC-32 as in zlib, for the checksums of records.
#pragma once

#include <cstddef>
#include <cstdint>

namespace pqstore {

// Continued from `value`, which is 0 or the result for the bytes before.
uint32_t crc32(const uint8_t* bytes, size_t size, uint32_t value);

}  // namespace pqstore
