// Which rows of lists are live where most are not, as under a filter: worked out list by list when a search first comes
// to it, and kept for the next ones.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <vector>

#include "contract.h"
#include "lists/list_run.h"

namespace pqstore {

class ListMarks {
  public:
    ListMarks(std::vector<const ListRun*> runs, int64_t partitions);

    // How many rows of a list are live; -1: not all of its chunks have been read yet.
    int64_t live_rows(int64_t partition, const Living& living);

    // Dead rows of a list of a run whose live rows are known: the bitmap of the block that its row `at` lies in.
    const uint8_t* dead(int64_t run, int64_t partition, int64_t at) const {
        return reinterpret_cast<const uint8_t*>(words_[static_cast<size_t>(run)].get() + word(partition, at));
    }

  private:
    struct Free {
        void operator()(uint32_t* words) const { std::free(words); }
    };

    // A block that two lists share has a word in each.
    static int64_t word(int64_t partition, int64_t at) { return at / kBlockRows + partition; }

    bool is_there(int64_t partition) const;
    int64_t mark(int64_t run, int64_t partition, const Living& living);

    std::vector<const ListRun*> runs_;
    std::vector<std::unique_ptr<uint32_t[], Free>> words_;  // pages of lists that nobody reads are never touched
    std::unique_ptr<std::atomic<int64_t>[]> counts_;        // live rows of each list, and one more; 0: not known
    std::mutex marking_;
};

}  // namespace pqstore
