// A search of inverted lists: the nearest lists until enough rows are read, then all rows that are in none.
#pragma once

#include <cstdint>
#include <vector>

#include "contract.h"
#include "lists/list_marks.h"
#include "lists/list_order.h"
#include "lists/list_run.h"

namespace pqstore {

struct ListRequest {
    const KernelSet* kernels;
    Layout layout;
    PartitionGrid grid;
    const ListRun* const* runs;
    int64_t run_count;
    const Chunk* flat;  // rows that are in no list
    int64_t flat_count;
    Living living;
    ListMarks* marks;  // null: most rows are live; otherwise lists without a live row are passed over
    int64_t lists;     // so many are read,
    int64_t rows;      // or lists until there are so many rows, whichever is less;
    int64_t least;     // and more of them where fewer rows than this, at most k, were found; with marks, are live
    int64_t k;
    bool scattered, ordered;  // as of a ScanRequest
};

struct MissingChunk {
    int64_t run;  // place in `runs`
    int64_t chunk;
};

// About how many lists a query reads.
int64_t expected_lists(const ListRequest& request);

// What was read for a query.
struct ListsRead {
    int64_t lists, rows, pieces;
};

// The k nearest rows of one query, by the order of its lists and its scan table. False: chunks are missing, which are
// added to `missing`.
bool search_lists(const ListRequest& request, ListOrder& order, const float* table, int threads, float* distances,
                  int64_t* rows, ListsRead& read, std::vector<MissingChunk>& missing);

}  // namespace pqstore
