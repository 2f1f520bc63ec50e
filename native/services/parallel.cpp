#include "services/parallel.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

namespace pqstore {

void parallel_tasks(int threads, int64_t tasks, void (*run)(void*, int, int64_t), void* context) {
    const int workers = static_cast<int>(std::min<int64_t>(threads, tasks));
    if (workers <= 1) {
        for (int64_t task = 0; task < tasks; ++task) run(context, 0, task);
        return;
    }
    std::atomic<int64_t> next{0};
    std::exception_ptr failure;
    std::mutex failure_lock;
    auto work = [&](int worker) {
        try {
            for (int64_t task = next++; task < tasks; task = next++) run(context, worker, task);
        } catch (...) {
            next = tasks;
            std::lock_guard<std::mutex> hold(failure_lock);
            if (!failure) failure = std::current_exception();
        }
    };
    std::vector<std::thread> started;
    started.reserve(static_cast<size_t>(workers - 1));
    try {
        for (int worker = 1; worker < workers; ++worker) started.emplace_back(work, worker);
    } catch (const std::system_error&) {
        // The system gives no more threads: those that run share the tasks, and the result is the same.
    }
    work(0);
    for (std::thread& thread : started) thread.join();
    if (failure) std::rethrow_exception(failure);
}

}  // namespace pqstore
