#include "storage/rows.h"

#include <cstring>

#include "services/crc32.h"

namespace pqstore {
namespace {

constexpr uint32_t kBitmap = 1, kRuns = 2;

bool mark_rows(const uint16_t* rows, size_t count, uint8_t* mask, size_t mask_bytes) {
    for (size_t i = 0; i < count; ++i) {
        const size_t row = rows[i];
        if (row >> 3 >= mask_bytes) return false;
        mask[row >> 3] = static_cast<uint8_t>(mask[row >> 3] | 1u << (row & 7));
    }
    return true;
}

bool mark_runs(const uint8_t* runs, size_t count, uint8_t* mask, size_t mask_bytes) {
    for (size_t i = 0; i < count; ++i) {
        const uint8_t* run = runs + 4 * i;  // two u16, at any address
        const size_t first = run[0] | run[1] << 8, last = run[2] | run[3] << 8;
        if (last < first || last >> 3 >= mask_bytes) return false;
        const auto from = static_cast<uint8_t>(0xff << (first & 7)), to = static_cast<uint8_t>(0xff >> (7 - (last & 7)));
        uint8_t *begin = mask + (first >> 3), *end = mask + (last >> 3);
        if (begin == end) {
            *begin = static_cast<uint8_t>(*begin | (from & to));
            continue;
        }
        *begin = static_cast<uint8_t>(*begin | from);
        std::memset(begin + 1, 0xff, static_cast<size_t>(end - begin - 1));
        *end = static_cast<uint8_t>(*end | to);
    }
    return true;
}

}  // namespace

bool mark_values(const ValueRows& group, size_t first, size_t last, uint8_t* mask, size_t mask_bytes) {
    if (first > last || last > group.values) return false;
    const size_t from = group.starts[first], to = group.starts[last];
    if (from > to || to > group.listed_count || !mark_rows(group.listed + from, to - from, mask, mask_bytes))
        return false;
    size_t low = 0, high = group.dense_count;
    while (low < high) {
        const size_t middle = (low + high) / 2;
        if (group.dense[4 * middle] < first)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < group.dense_count && group.dense[4 * low] < last; ++low) {
        const uint32_t* entry = group.dense + 4 * low;
        const size_t begin = entry[2], end = entry[3];
        if (begin > end || end > group.blob_bytes) return false;
        const uint8_t* content = group.blob + begin;
        if (entry[1] == kBitmap) {
            if (end - begin > mask_bytes) return false;
            for (size_t i = 0; i < end - begin; ++i) mask[i] = static_cast<uint8_t>(mask[i] | content[i]);
        } else if (entry[1] != kRuns || (end - begin) % 4 != 0 ||
                   !mark_runs(content, (end - begin) / 4, mask, mask_bytes)) {
            return false;
        }
    }
    return true;
}

void row_checksums(const uint8_t* content, size_t size, size_t stride, const int64_t* rows, size_t count,
                   uint32_t* checksums) {
    for (size_t i = 0; i < count; ++i)
        checksums[i] = crc32(content + i * stride, size, static_cast<uint32_t>(rows[i]));
}

bool is_whole(const StoredRow& row, size_t size) {
    const uint8_t* end = row.bytes + size;
    const uint32_t stored = end[0] | end[1] << 8 | end[2] << 16 | static_cast<uint32_t>(end[3]) << 24;
    return stored == crc32(row.bytes, size, static_cast<uint32_t>(row.row));
}

void fetch(const StoredRow& row, size_t size) {
    constexpr size_t kLine = 64;
    for (size_t at = 0; at < size; at += kLine) __builtin_prefetch(row.bytes + at);
}

bool gather_rows(const StoredRow* rows, size_t count, size_t size, uint8_t* out) {
    constexpr size_t kAhead = 8;
    for (size_t i = 0; i < count; ++i) {
        if (i + kAhead < count) fetch(rows[i + kAhead], size);
        std::memcpy(out + i * size, rows[i].bytes, size);
        if (!is_whole(rows[i], size)) return false;
    }
    return true;
}

}  // namespace pqstore
