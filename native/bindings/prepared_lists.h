// Inverted lists that were checked once and are searched many times.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "bindings/checked.h"
#include "bindings/held_buffers.h"
#include "bindings/prepared_chunks.h"
#include "lists/list_search.h"

namespace pqstore {

// One run. Chunks are put there when they are first wanted; a search in another thread may go on meanwhile.
class PreparedRun {
  public:
    // `offsets` uint32 (P + 1), ascending from 0.
    PreparedRun(const std::string& kind, int64_t M, int64_t table_size, const In<uint32_t, 1>& offsets,
                int64_t first_row, int64_t chunk_rows);

    // Codes uint8 and numbers uint32 of all rows of a chunk.
    void put(int64_t chunk, nb::handle codes, nb::handle numbers);

    const ListRun* run() const { return &run_; }
    const Layout& layout() const { return layout_; }
    int64_t rows() const { return rows_; }
    int64_t partitions() const { return static_cast<int64_t>(offsets_.size()) - 1; }

  private:
    Layout layout_;
    std::vector<uint32_t> offsets_;
    int64_t rows_, chunk_count_;
    std::unique_ptr<std::atomic<const uint8_t*>[]> codes_;
    std::unique_ptr<std::atomic<const uint32_t*>[]> numbers_;
    HeldBuffers buffers_;
    ListRun run_{};
};

// The grid of a partition table; see PartitionGrid.
class PreparedGrid {
  public:
    PreparedGrid(const In<int16_t, 2>& centroids, const In<int32_t, 1>& halves, const In<int16_t, 2>& groups,
                 const In<int32_t, 1>& group_halves, const In<int64_t, 1>& first, int64_t D, int64_t looked,
                 double scale, double largest);

    const PartitionGrid& grid() const { return grid_; }

  private:
    std::vector<int16_t> centroids_, groups_;
    std::vector<int32_t> halves_, group_halves_;
    std::vector<int64_t> first_;
    PartitionGrid grid_{};
};

// The runs of one state, what of its rows is live, and its rows that are in no list.
class PreparedLists {
  public:
    // `segments` int64, ascending; `dead` a bitmap or None for each of them; `selected`: most rows may be dead.
    PreparedLists(const PreparedGrid& grid, const std::vector<const PreparedRun*>& runs, const PreparedChunks& flat,
                  const In<int64_t, 1>& segments, nb::handle dead, int64_t segment_rows, bool selected);

    bool fits(const Layout& layout, int64_t D) const;
    bool selected() const { return marks_ != nullptr; }
    ListRequest request(const KernelSet* kernels, int64_t lists, int64_t rows, int64_t least, int64_t k,
                        bool ordered) const;

  private:
    PartitionGrid grid_;
    Layout layout_;
    std::vector<const ListRun*> runs_;
    const PreparedChunks& flat_;
    std::vector<int64_t> segments_;
    std::vector<const uint8_t*> dead_;
    HeldBuffers buffers_;
    int64_t segment_rows_;
    bool scattered_ = false;
    std::unique_ptr<ListMarks> marks_;
};

void bind_prepared_lists(nb::module_& module);

}  // namespace pqstore
