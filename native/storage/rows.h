// Loops over rows of a segment: sets of them, their checksums, their originals.
#pragma once

#include <cstddef>
#include <cstdint>

namespace pqstore {

// Sets the bits of `rows`, lowest bit first. False: one lies beyond the mask, which is then as it was as far as possible.
bool mark_rows(const uint16_t* rows, size_t count, uint8_t* mask, size_t mask_bytes);

// Sets the bits of runs, given by their first and last row. False: one is reversed or lies beyond the mask.
bool mark_runs(const uint16_t* runs, size_t count, uint8_t* mask, size_t mask_bytes);

// CRC-32 of the first `size` of every `stride` bytes, each begun with the low 32 bits of the row's number.
void row_checksums(const uint8_t* content, size_t size, size_t stride, const int64_t* rows, size_t count,
                   uint32_t* checksums);

// Where a row lies that is `size` bytes and their CRC-32.
struct StoredRow {
    const uint8_t* bytes;
    int64_t row;
};

// Copies rows to `out`, one after another. False: the checksum of one does not match.
bool gather_rows(const StoredRow* rows, size_t count, size_t size, uint8_t* out);

}  // namespace pqstore
