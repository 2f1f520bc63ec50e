#include "services/scratch.h"

#include <new>

namespace pqstore {
namespace {

// The blocks that one thread keeps. They go when it ends.
class Shelf {
  public:
    Shelf() = default;
    Shelf(const Shelf&) = delete;
    Shelf& operator=(const Shelf&) = delete;
    ~Shelf() {
        for (int i = 0; i < count_; ++i) release(blocks_[i].memory);
    }

    // The smallest block that is large enough and not much larger; null if there is none.
    void* take(size_t& bytes) {
        int best = -1;
        for (int i = 0; i < count_; ++i)
            if (blocks_[i].bytes >= bytes && blocks_[i].bytes / 4 <= bytes &&
                (best < 0 || blocks_[i].bytes < blocks_[best].bytes))
                best = i;
        if (best < 0) return nullptr;
        const Block taken = blocks_[best];
        blocks_[best] = blocks_[--count_];
        kept_bytes_ -= taken.bytes;
        bytes = taken.bytes;
        return taken.memory;
    }

    bool put(void* memory, size_t bytes) {
        if (count_ == kMostBlocks || kept_bytes_ + bytes > kMostBytes) return false;
        blocks_[count_++] = {memory, bytes};
        kept_bytes_ += bytes;
        return true;
    }

    static void* make(size_t bytes) { return ::operator new(bytes, std::align_val_t{kScratchAlignment}); }
    static void release(void* memory) noexcept { ::operator delete(memory, std::align_val_t{kScratchAlignment}); }

  private:
    static constexpr int kMostBlocks = 64;
    static constexpr size_t kMostBytes = size_t{4} << 20;

    struct Block {
        void* memory;
        size_t bytes;
    };
    Block blocks_[kMostBlocks];
    int count_ = 0;
    size_t kept_bytes_ = 0;
};

thread_local Shelf shelf;

}  // namespace

void* take_scratch(size_t& bytes) {
    if (void* memory = shelf.take(bytes)) return memory;
    bytes = (bytes + kScratchAlignment - 1) / kScratchAlignment * kScratchAlignment;
    return Shelf::make(bytes);
}

void return_scratch(void* memory, size_t bytes) noexcept {
    if (!shelf.put(memory, bytes)) Shelf::release(memory);
}

}  // namespace pqstore
