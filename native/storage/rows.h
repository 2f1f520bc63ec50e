// Loops over rows of a segment: sets of them, their checksums, their originals.
#pragma once

#include <cstddef>
#include <cstdint>

namespace pqstore {

// The rows that have each value of a group of a field column; see docs/format.md.
struct ValueRows {
    const uint32_t* starts;  // (values + 1,): where the listed rows of each value begin
    size_t values;
    const uint16_t* listed;
    size_t listed_count;
    const uint32_t* dense;  // (dense_count, 4): value, container, first and end byte in `blob`; values ascend
    size_t dense_count;
    const uint8_t* blob;
    size_t blob_bytes;
};

// Sets the bits, lowest first, of the rows that have one of the values first .. last - 1. False: a set that does not fit.
bool mark_values(const ValueRows& group, size_t first, size_t last, uint8_t* mask, size_t mask_bytes);

// CRC-32 of the first `size` of every `stride` bytes, each begun with the low 32 bits of the row's number.
void row_checksums(const uint8_t* content, size_t size, size_t stride, const int64_t* rows, size_t count,
                   uint32_t* checksums);

// Where a row lies that is `size` bytes and their CRC-32.
struct StoredRow {
    const uint8_t* bytes;
    int64_t row;
};

// Whether the checksum of a row matches its `size` bytes.
bool is_whole(const StoredRow& row, size_t size);

// Asks for the bytes of a row that is read soon: rows lie anywhere, and no prefetcher of the machine finds them.
void fetch(const StoredRow& row, size_t size);

// Copies rows to `out`, one after another. False: the checksum of one does not match.
bool gather_rows(const StoredRow* rows, size_t count, size_t size, uint8_t* out);

}  // namespace pqstore
