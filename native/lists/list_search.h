// A search of inverted lists: the nearest lists until enough rows are read, then all rows that are in none.
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "contract.h"
#include "lists/list_order.h"

namespace pqstore {

// Lists of one run, joined in order of partition, in chunks of a fixed number of rows.
struct ListRun {
    const uint32_t* offsets;  // (P + 1): where each list begins
    int64_t first_row;        // what the numbers count from
    int64_t chunk_rows;       // whole blocks
    const std::atomic<const uint8_t*>* codes;  // of each chunk; null: not read yet
    const std::atomic<const uint32_t*>* numbers;
};

struct ListRequest {
    const KernelSet* kernels;
    Layout layout;
    PartitionGrid grid;
    const ListRun* const* runs;
    int64_t run_count;
    const Chunk* flat;  // rows that are in no list
    int64_t flat_count;
    Living living;
    int64_t lists;  // so many are read,
    int64_t rows;   // or lists until there are so many rows, whichever is less;
    int64_t least;  // and more of them where fewer rows than this, at most k, were found
    int64_t k;
    bool scattered;  // as of a ScanRequest
};

struct MissingChunk {
    int64_t run;  // place in `runs`
    int64_t chunk;
};

// What was read for a query.
struct ListsRead {
    int64_t lists, rows, pieces;
};

// The k nearest rows of one query, by the order of its lists and its scan table. False: chunks are missing, which are
// added to `missing`.
bool search_lists(const ListRequest& request, ListOrder& order, const float* table, int threads, float* distances,
                  int64_t* rows, ListsRead& read, std::vector<MissingChunk>& missing);

}  // namespace pqstore
