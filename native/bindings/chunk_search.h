// What finds the nearest rows of chunks, and of lists.
#pragma once

#include <cstdint>

#include "bindings/prepared_chunks.h"
#include "bindings/prepared_lists.h"

namespace pqstore {

// How much of lists is read for a query, as of ListRequest.
struct ListEffort {
    int64_t lists, rows, least;
};

// Who goes on with the rows of a query while those of the next are looked for.
class ListFollower {
  public:
    virtual ~ListFollower() = default;

    // The rows of `next` have just been found, and now is the time to finish `before`, the query that the same thread
    // found before; -1: there is none. Each query is `next` once, and `before` once.
    virtual void follow(int64_t next, int64_t before) = 0;
};

class ChunkSearch {
  public:
    virtual ~ChunkSearch() = default;

    // Whether the chunks hold codes of the kind that is searched.
    virtual bool fits(const PreparedChunks& chunks) const = 0;
    virtual bool fits(const PreparedLists& lists) const = 0;

    virtual int64_t dimension() const = 0;

    // The k nearest rows of each query (n, dimension), those that are missing as -1 at an infinite distance. False, and
    // nothing written: a query, or a distance to a codeword, is not finite. Needs no GIL.
    virtual bool nearest(const float* queries, int64_t n, const PreparedChunks& chunks, int64_t k, int threads,
                         float* distances, int64_t* rows) const = 0;

    // The same of the lists that each query reads and of rows that are in no list. False, too: a chunk of them is
    // missing. With a follower, which may be null; not `ordered`, they come in any order.
    virtual bool nearest_in_lists(const float* queries, int64_t n, const PreparedLists& lists, const ListEffort& effort,
                                  int64_t k, int threads, bool ordered, ListFollower* follower, float* distances,
                                  int64_t* rows) const = 0;
};

}  // namespace pqstore
