// The k least (distance, row) pairs seen so far.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <limits>
#include <mutex>

#include "common/buffer.h"

namespace pqstore {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

struct Hit {
    float distance;
    int64_t row;
};

// A type, so that sorting contains the comparison: a pointer to a function would be called.
struct Nearer {
    [[gnu::always_inline]] bool operator()(const Hit& a, const Hit& b) const {
        return a.distance < b.distance || (a.distance == b.distance && a.row < b.row);
    }
};

inline bool nearer(const Hit& a, const Hit& b) { return Nearer{}(a, b); }

// A sum that is not a number counts as infinitely far.
inline float as_distance(float sum) { return sum < kInfinity ? sum : kInfinity; }

class TopK {
  public:
    // `capacity` is k, or the number of rows if that is less.
    void reset(int64_t capacity) {
        capacity_ = capacity;
        size_ = 0;
        limit_ = farthest_ = kInfinity;
        is_heap_ = false;
        hits_.resize(static_cast<size_t>(capacity));
    }

    // No row beyond this distance is among the k least; rows at it may be.
    float limit() const { return limit_; }

    // `distance`: an upper bound on the k-th distance, known from elsewhere.
    void lower_limit(float distance) { limit_ = std::min(limit_, distance); }

    // `distance` must not be NaN.
    void offer(float distance, int64_t row) {
        if (distance > limit_ || capacity_ == 0) return;
        const Hit hit{distance, row};
        if (size_ < capacity_) {
            hits_[static_cast<size_t>(size_++)] = hit;
            if (size_ == capacity_) set_farthest(*std::max_element(begin(), end(), Nearer{}));
            return;
        }
        if (!is_heap_) std::make_heap(hits_.data(), hits_.data() + size_, Nearer{});  // often nothing comes any more
        is_heap_ = true;
        if (nearer(hit, hits_[0])) {
            replace_farthest(hit);
            set_farthest(hits_[0]);
        }
    }

    bool full() const { return size_ == capacity_; }
    // The distance of the farthest; infinite while it is not full.
    float farthest() const { return farthest_; }
    int64_t size() const { return size_; }
    const Hit* begin() const { return hits_.data(); }
    const Hit* end() const { return hits_.data() + size_; }

    void sort() { std::sort(hits_.data(), hits_.data() + size_, Nearer{}); }

  private:
    void set_farthest(const Hit& hit) {
        farthest_ = hit.distance;
        lower_limit(farthest_);
    }

    // Sift down from the root of a heap whose root is the farthest.
    void replace_farthest(const Hit& hit) {
        int64_t hole = 0;
        for (int64_t child = 1; child < size_; child = 2 * hole + 1) {
            if (child + 1 < size_ && nearer(hits_[static_cast<size_t>(child)], hits_[static_cast<size_t>(child + 1)]))
                ++child;
            if (!nearer(hit, hits_[static_cast<size_t>(child)])) break;
            hits_[static_cast<size_t>(hole)] = hits_[static_cast<size_t>(child)];
            hole = child;
        }
        hits_[static_cast<size_t>(hole)] = hit;
    }

    Buffer<Hit> hits_;
    int64_t capacity_ = 0;
    int64_t size_ = 0;
    float limit_ = kInfinity, farthest_ = kInfinity;
    bool is_heap_ = false;  // of all hits, the farthest at its root
};

// The result of one query, to which several threads contribute.
class SharedTopK {
  public:
    void reset(int64_t capacity) {
        limit_.store(kInfinity, std::memory_order_relaxed);
        best_.reset(capacity);
    }

    float limit() const { return limit_.load(std::memory_order_relaxed); }

    // `distance`: an upper bound on the k-th distance of the whole scan.
    void lower_limit(float distance) {
        float current = limit_.load(std::memory_order_relaxed);
        while (distance < current && !limit_.compare_exchange_weak(current, distance, std::memory_order_relaxed)) {
        }
    }

    // Which hits remain does not depend on the order of the calls: they are the k least of all.
    void merge(const TopK& found) { merge(found.begin(), found.size()); }

    void merge(const Hit* found, int64_t count) {
        std::lock_guard<std::mutex> hold(lock_);
        for (int64_t i = 0; i < count; ++i) best_.offer(found[i].distance, found[i].row);
        lower_limit(best_.limit());
    }

    // Writes k results, nearest first if they are ordered, the missing ones last as +infinity and -1.
    void write(int64_t k, bool ordered, float* distances, int64_t* rows) {
        if (ordered) best_.sort();
        const int64_t size = best_.size();
        for (int64_t i = 0; i < k; ++i) {
            distances[i] = i < size ? best_.begin()[i].distance : kInfinity;
            rows[i] = i < size ? best_.begin()[i].row : -1;
        }
    }

  private:
    std::mutex lock_;
    std::atomic<float> limit_{kInfinity};
    TopK best_;
};

}  // namespace
}  // namespace pqstore
