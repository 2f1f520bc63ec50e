#include "lists/list_marks.h"

#include <algorithm>
#include <new>
#include <utility>

#include "common/living.h"

namespace pqstore {

ListMarks::ListMarks(std::vector<const ListRun*> runs, int64_t partitions)
    : runs_(std::move(runs)), counts_(new std::atomic<int64_t>[static_cast<size_t>(partitions)]()) {
    for (const ListRun* run : runs_) {
        const int64_t count = word(partitions, run->offsets[partitions]) + 1;
        words_.emplace_back(static_cast<uint32_t*>(std::calloc(static_cast<size_t>(count), sizeof(uint32_t))));
        if (!words_.back()) throw std::bad_alloc();
    }
}

int64_t ListMarks::live_rows(int64_t partition, const Living& living) {
    std::atomic<int64_t>& known = counts_[static_cast<size_t>(partition)];
    if (const int64_t count = known.load(std::memory_order_acquire)) return count - 1;
    if (!is_there(partition)) return -1;
    std::lock_guard<std::mutex> hold(marking_);
    if (const int64_t count = known.load(std::memory_order_acquire)) return count - 1;
    int64_t live = 0;
    for (size_t run = 0; run < runs_.size(); ++run) live += mark(static_cast<int64_t>(run), partition, living);
    known.store(live + 1, std::memory_order_release);
    return live;
}

bool ListMarks::is_there(int64_t partition) const {
    return std::all_of(runs_.begin(), runs_.end(), [&](const ListRun* run) {
        const int64_t begin = run->offsets[partition], end = run->offsets[partition + 1];
        for (int64_t at = begin; at < end; at += run->chunk_rows - at % run->chunk_rows)
            if (!run->codes[at / run->chunk_rows].load(std::memory_order_acquire)) return false;
        return true;
    });
}

// Writes the words of a list of a run. Returns how many of its rows are live.
int64_t ListMarks::mark(int64_t run, int64_t partition, const Living& living) {
    const ListRun& lists = *runs_[static_cast<size_t>(run)];
    uint32_t* words = words_[static_cast<size_t>(run)].get();
    const int64_t end = lists.offsets[partition + 1];
    int64_t live = 0;
    for (int64_t at = lists.offsets[partition]; at < end; ++at) {
        const uint32_t* numbers = lists.numbers[at / lists.chunk_rows].load(std::memory_order_relaxed);
        const bool is_dead = !is_live(living, lists.first_row + numbers[at % lists.chunk_rows]);
        words[word(partition, at)] |= static_cast<uint32_t>(is_dead) << (at % kBlockRows);
        live += !is_dead;
    }
    return live;
}

}  // namespace pqstore
