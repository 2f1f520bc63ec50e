// Lists of one run, joined in order of partition, in chunks of a fixed number of rows.
#pragma once

#include <atomic>
#include <cstdint>

namespace pqstore {

struct ListRun {
    const uint32_t* offsets;  // (P + 1): where each list begins
    int64_t first_row;        // what the numbers count from
    int64_t chunk_rows;       // whole blocks
    const std::atomic<const uint8_t*>* codes;  // of each chunk; null: not read yet
    const std::atomic<const uint32_t*>* numbers;
};

}  // namespace pqstore
