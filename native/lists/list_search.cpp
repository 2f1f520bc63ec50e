#include "lists/list_search.h"

#include <algorithm>

namespace pqstore {
namespace {

// The pieces of lists that a query reads: no piece reaches over the end of a chunk.
class Pieces {
  public:
    explicit Pieces(const ListRequest& request) : request_(request), chunks_(), missing_() {}

    const std::vector<Chunk>& chunks() const { return chunks_; }
    const std::vector<MissingChunk>& missing() const { return missing_; }
    int64_t rows() const { return rows_; }

    void add_list(int64_t partition) {
        for (int64_t i = 0; i < request_.run_count; ++i) {
            const ListRun& run = *request_.runs[i];
            const int64_t begin = run.offsets[partition], end = run.offsets[partition + 1];
            rows_ += end - begin;
            for (int64_t at = begin; at < end;) at = add_piece(i, partition, at, end);
        }
    }

    // Asks for where a list begins, and then for where its chunk lies: in large runs each is far from the last.
    void fetch_offsets(int64_t partition) const {
        for (int64_t i = 0; partition >= 0 && i < request_.run_count; ++i)
            __builtin_prefetch(request_.runs[i]->offsets + partition);
    }
    void fetch_chunk(int64_t partition) const {
        for (int64_t i = 0; partition >= 0 && i < request_.run_count; ++i) {
            const ListRun& run = *request_.runs[i];
            const int64_t chunk = run.offsets[partition] / run.chunk_rows;
            __builtin_prefetch(run.codes + chunk);
            __builtin_prefetch(run.numbers + chunk);
        }
    }

    void add_flat() { chunks_.insert(chunks_.end(), request_.flat, request_.flat + request_.flat_count); }

  private:
    // Rows `at` up to `end` of a run, or to the end of their chunk. Returns where the next piece begins.
    int64_t add_piece(int64_t number, int64_t partition, int64_t at, int64_t end) {
        const ListRun& run = *request_.runs[number];
        const int64_t chunk = at / run.chunk_rows, place = at % run.chunk_rows;
        const int64_t count = std::min(end - at, run.chunk_rows - place);
        const uint8_t* codes = run.codes[chunk].load(std::memory_order_acquire);
        if (!codes) {
            missing_.push_back({number, chunk});
        } else {
            const int64_t block = place / kBlockRows, skipped = place % kBlockRows;
            const uint32_t* numbers = run.numbers[chunk].load(std::memory_order_relaxed);
            const uint8_t* dead = request_.marks ? request_.marks->dead(number, partition, at) : nullptr;
            chunks_.push_back({codes + block * request_.layout.block_bytes(), skipped + count, run.first_row, dead,
                               numbers + block * kBlockRows, skipped});
        }
        return at + count;
    }

    const ListRequest& request_;
    std::vector<Chunk> chunks_;
    std::vector<MissingChunk> missing_;
    int64_t rows_ = 0;
};

constexpr int64_t kAhead = 4;  // lists

bool has_found(const int64_t* rows, int64_t least) { return least == 0 || rows[least - 1] >= 0; }

}  // namespace

int64_t expected_lists(const ListRequest& request) {
    const int64_t P = request.grid.P;
    double rows = 0;
    for (int64_t i = 0; i < request.run_count; ++i) rows += request.runs[i]->offsets[P];
    const double lists = static_cast<double>(request.rows) * static_cast<double>(P) / std::max(rows, 1.0);
    return std::min({P, request.lists, static_cast<int64_t>(std::min(lists, static_cast<double>(P)))});
}

bool search_lists(const ListRequest& request, ListOrder& order, const float* table, int threads, float* distances,
                  int64_t* rows, ListsRead& read, std::vector<MissingChunk>& missing) {
    Pieces pieces(request);
    const int64_t P = request.grid.P;
    int64_t place = 0, lists = 0, live = 0, most = request.lists, enough = request.rows;
    const auto is_short = [&] { return request.marks && live < request.least; };
    for (;;) {
        for (; place < P && ((lists < most && pieces.rows() < enough) || is_short()); ++place) {
            const int64_t partition = order.at(place);
            pieces.fetch_offsets(order.known(place + 2 * kAhead));
            pieces.fetch_chunk(order.known(place + kAhead));
            if (request.marks) {
                const int64_t rows_of_it = request.marks->live_rows(partition, request.living);
                if (rows_of_it == 0) continue;
                live += rows_of_it < 0 ? request.least : rows_of_it;  // what is missing comes first
            }
            pieces.add_list(partition);
            ++lists;
        }
        if (!pieces.missing().empty()) {
            missing.insert(missing.end(), pieces.missing().begin(), pieces.missing().end());
            return false;
        }
        Pieces all = pieces;
        all.add_flat();
        request.kernels->scan({all.chunks().data(), static_cast<int64_t>(all.chunks().size()), request.layout, table, 1,
                               request.k, threads, distances, rows, &request.living, request.scattered, request.ordered});
        read = {lists, pieces.rows(), static_cast<int64_t>(pieces.chunks().size())};
        if (place == P || request.marks || has_found(rows, request.least)) return true;
        most = std::max<int64_t>(1, 2 * lists);
        enough = INT64_MAX;
    }
}

}  // namespace pqstore
