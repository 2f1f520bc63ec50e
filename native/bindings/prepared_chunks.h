// Chunks that were checked once and are searched many times.
#pragma once

#include <string>

#include "bindings/chunk_list.h"

namespace pqstore {

class PreparedChunks {
  public:
    PreparedChunks(nb::handle chunks, const std::string& kind, int64_t M, int64_t table_size)
        : layout_(checked_layout(kind, M, table_size)), list_(chunks, layout_) {}

    const Layout& layout() const { return layout_; }
    const ChunkList& list() const { return list_; }

  private:
    Layout layout_;
    ChunkList list_;
};

}  // namespace pqstore
