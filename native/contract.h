// What every instruction set provides: plain structs of pointers, and one table of functions.
//
// The binding has checked every size before a kernel is called; kernels may trust the counts, never the codes.
#pragma once

#include <cstddef>
#include <cstdint>

#include "originals/kinds.h"

namespace pqstore {

constexpr int64_t kBlockRows = 32;

enum class LayoutKind { kBlock8, kBlock4, kRows16, kRows32 };

// How packed codes lie in memory; see pqstore/kernels/code_layout.py. Its functions are inlined always: a copy that the
// linker shares between files could be one that was compiled for an instruction set which the machine lacks.
struct Layout {
    LayoutKind kind;
    int64_t M;
    int64_t table_size;  // entries a sub-space in the tables of a scan

    [[gnu::always_inline]] int64_t pairs() const { return (M + 1) / 2; }

    // Bytes of 32 rows. Also the distance from the codes of row r to those of row r + 32.
    [[gnu::always_inline]] int64_t block_bytes() const {
        switch (kind) {
            case LayoutKind::kBlock8: return 64 * pairs();
            case LayoutKind::kBlock4: return 32 * pairs();
            case LayoutKind::kRows16: return kBlockRows * 2 * M;
            case LayoutKind::kRows32: return kBlockRows * 4 * M;
        }
        return 0;
    }

    [[gnu::always_inline]] bool in_blocks() const { return kind == LayoutKind::kBlock8 || kind == LayoutKind::kBlock4; }

    [[gnu::always_inline]] int64_t packed_size(int64_t rows) const {
        if (in_blocks()) return (rows + kBlockRows - 1) / kBlockRows * block_bytes();
        return rows * (block_bytes() / kBlockRows);
    }
};

// Rows first_row .. first_row + rows - 1 of the index; with `numbers`, those of a part of a list, in any order.
struct Chunk {
    const uint8_t* packed;
    int64_t rows;  // with those that are skipped
    int64_t first_row;
    const uint8_t* dead;  // bitmap of (rows + 7) / 8 bytes, lowest bit first; null: no row is dead
    const uint32_t* numbers = nullptr;  // of each row, from first_row on; null: they follow one another
    int64_t skipped = 0;  // rows at the beginning, fewer than 32, that belong to another list
};

// Rows of lists are dead where their segment says so, or is gone.
struct Living {
    const int64_t* segments;     // ascending
    const uint8_t* const* dead;  // bitmap of each, lowest bit first; null: no row is dead
    int64_t count;
    int64_t segment_rows;
};

struct ScanRequest {
    const Chunk* chunks;
    int64_t chunk_count;
    Layout layout;
    const float* tables;  // (queries, M, table_size)
    int64_t queries;
    int64_t k;
    int threads;
    float* distances;  // out: (queries, k)
    int64_t* rows;     // out: (queries, k)
    const Living* living = nullptr;  // where chunks are parts of lists; then there is but one query
    bool scattered = false;          // chunks lie here and there in memory: the next is fetched while one is read
    bool ordered = true;             // false: the nearest may come in any order
};

// Rows first_row .. first_row + rows - 1 of the index, of which row i is stored at stored + i * stride.
struct OriginalChunk {
    const uint8_t* stored;
    int64_t stride;
    int64_t rows;
    int64_t first_row;
    const uint8_t* dead;  // as of a Chunk
};

struct ExactScanRequest {
    const OriginalChunk* chunks;
    int64_t chunk_count;
    OriginalKind kind;
    ExactMetric metric;
    int64_t D;
    const double* vectors;  // (queries, D), the queries; of length 1 for the cosine
    int64_t queries;
    int64_t k;
    int threads;
    float* distances;  // out: (queries, k), in the sign of the metric
    int64_t* rows;     // out: (queries, k)
};

// Row-major codes of 1, 2 or 4 bytes.
struct CodeRows {
    const void* codes;  // (n, M)
    int64_t n;
    int64_t M;
    int width;
};

// (M, Ks, Ds)
struct Codewords {
    const float* values;
    int64_t M;
    int64_t Ks;
    int64_t Ds;
};

// Codewords in the order of a scan's tables: component d of the codeword that is stored under label l in sub-space m is
// values[(m * Ds + d) * stride + l]. Labels without a codeword have zeros.
struct CodewordColumns {
    static constexpr int64_t kStep = 16;  // the stride is a multiple; values begin at a multiple of 64 bytes

    const float* values;
    int64_t M;
    int64_t Ds;
    int64_t stride;
    int64_t table_size;
};

struct KernelSet {
    const char* name;
    bool (*runs_here)();

    // tables (n, M, Ks) out of queries (n, M * Ds).
    void (*dtables)(const float* queries, int64_t n, const Codewords&, bool dot, float* tables);

    // tables (n, M, table_size) of a scan, the least is nearest: squared distances, or the negative of dot products.
    // False: an entry is not finite.
    bool (*scan_tables)(const float* queries, int64_t n, const CodewordColumns&, bool dot, float* tables);

    // distances (n,) out of table (M, Ks).
    void (*adist)(const float* table, int64_t Ks, const CodeRows&, int threads, float* distances);

    // codes (n, M), 1, 2 or 4 bytes each, out of vectors (n, M * Ds).
    void (*encode)(const float* vectors, int64_t n, const Codewords&, int threads, int width, void* codes);

    // labels (M, n), sums (M, Ks, Ds), counts (M, Ks) out of groups (M, n, Ds).
    void (*lloyd_step)(const float* groups, int64_t n, const Codewords&, int threads, int width, void* labels,
                       double* sums, int64_t* counts);

    // Rows (n, M) of one byte to blocks and back; only for the block layouts.
    void (*pack)(const Layout&, const uint8_t* codes, int64_t n, uint8_t* packed);
    void (*unpack)(const Layout&, const uint8_t* packed, int64_t n, uint8_t* codes);

    void (*scan)(const ScanRequest&);

    // The nearest originals of each query.
    void (*exact_scan)(const ExactScanRequest&);

    // halves[p] minus the inner product of the query and centroid p of centroids (P, D), D a multiple of 16. No sum
    // leaves 32 bits.
    void (*centroid_scores)(const int16_t* centroids, const int32_t* halves, int64_t P, int64_t D,
                            const int16_t* query, int32_t* scores);
};

}  // namespace pqstore
