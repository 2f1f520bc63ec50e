// Threads: started for one call and joined before it returns, so that nothing lives across fork().
#pragma once

#include <cstdint>
#include <type_traits>

namespace pqstore {

// Calls run(context, worker, task) for every task in 0 .. tasks - 1, in increasing order of start, on at most `threads`
// threads of which the caller is one. `worker` is below `threads` and names the thread. An exception of a task ends the
// rest and is thrown again here.
void parallel_tasks(int threads, int64_t tasks, void (*run)(void* context, int worker, int64_t task), void* context);

namespace {

template <typename Run>
void parallel_for(int threads, int64_t tasks, Run&& run) {
    parallel_tasks(
        threads, tasks,
        [](void* context, int worker, int64_t task) {
            (*static_cast<std::remove_reference_t<Run>*>(context))(worker, task);
        },
        &run);
}

}  // namespace
}  // namespace pqstore
