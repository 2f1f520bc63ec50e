#include "lists/list_order.h"

#include <algorithm>
#include <cmath>

#include "services/scratch.h"

namespace pqstore {
namespace {

// By score, then by number.
int64_t key_of(int32_t score, int64_t number) { return static_cast<int64_t>(score) * (int64_t{1} << 32) + number; }

void put_on_grid(const PartitionGrid& grid, const float* query, int16_t* steps) {
    double scale = grid.scale;
    if (scale == 0) {
        double most = 0;
        for (int64_t d = 0; d < grid.D; ++d) most = std::max(most, std::fabs(static_cast<double>(query[d])));
        scale = most > 0 ? grid.largest / most : 0;
    }
    for (int64_t d = 0; d < grid.D; ++d) {
        const double place = static_cast<double>(query[d]) * scale;
        steps[d] = static_cast<int16_t>(std::nearbyint(std::clamp(place, -grid.largest, grid.largest)));
    }
}

}  // namespace

ListOrder::ListOrder(const KernelSet& kernels, const PartitionGrid& grid, const float* query, int64_t expected)
    : kernels_(kernels), grid_(grid), next_(std::max<int64_t>(32, expected)) {
    // Widest values first, so that each array is aligned.
    const auto most = static_cast<size_t>(std::max(grid.P, grid.G));
    const auto width = static_cast<size_t>(grid.width), groups = static_cast<size_t>(grid.G);
    bytes_ = (2 * most + 1) * sizeof(int64_t) + most * sizeof(int32_t) + width * sizeof(int16_t) + groups;
    memory_ = take_scratch(bytes_);
    sorted_ = static_cast<int64_t*>(memory_);
    keys_ = sorted_ + most + 1;
    scores_ = reinterpret_cast<int32_t*>(keys_ + most);
    steps_ = reinterpret_cast<int16_t*>(scores_ + most);
    is_looked_at_ = reinterpret_cast<uint8_t*>(steps_ + width);
    std::fill(steps_, steps_ + grid.width, int16_t{0});
    put_on_grid(grid, query, steps_);
    if (!looks_at_all()) choose_groups();
}

ListOrder::~ListOrder() { return_scratch(memory_, bytes_); }

void ListOrder::score(const std::unique_ptr<ListOrder>* orders, int64_t count) {
    if (count == 0) return;
    constexpr int64_t kPart = 64;  // partitions
    const PartitionGrid& grid = orders[0]->grid_;
    for (int64_t g = 0; g < grid.G; ++g)
        for (int64_t first = grid.first[g]; first < grid.first[g + 1]; first += kPart) {
            const int64_t end = std::min(first + kPart, grid.first[g + 1]);
            for (int64_t i = 0; i < count; ++i) {
                ListOrder& order = *orders[i];
                if (order.looks_at_all() || order.is_looked_at_[g]) order.score(first, end);
            }
        }
}

void ListOrder::choose_groups() {
    std::fill(is_looked_at_, is_looked_at_ + grid_.G, uint8_t{0});
    kernels_.centroid_scores(grid_.groups, grid_.group_halves, grid_.G, grid_.width, steps_, scores_);
    int64_t* groups = sorted_;  // which has room for them and nothing in it yet
    for (int64_t g = 0; g < grid_.G; ++g) groups[g] = key_of(scores_[g], g);
    std::nth_element(groups, groups + grid_.looked, groups + grid_.G);
    for (int64_t i = 0; i < grid_.looked; ++i) is_looked_at_[groups[i] & 0xffffffff] = 1;
}

void ListOrder::score_others() {
    for (int64_t g = 0; g < grid_.G; ++g)
        if (!is_looked_at_[g]) score(grid_.first[g], grid_.first[g + 1]);
}

// Partitions first .. end - 1.
void ListOrder::score(int64_t first, int64_t end) {
    kernels_.centroid_scores(grid_.centroids + first * grid_.width, grid_.halves + first, end - first, grid_.width,
                             steps_, scores_);
    int64_t* keys = keys_ + key_count_;
    for (int64_t p = first; p < end; ++p) keys[p - first] = key_of(scores_[p - first], p);
    key_count_ += end - first;
}

// A key that about `wanted` keys do not exceed, judged by a sample of them.
int64_t ListOrder::cut_of(int64_t wanted) const {
    constexpr int64_t kSample = 128;
    if (key_count_ <= 2 * wanted || key_count_ <= kSample) return INT64_MAX;
    int64_t sample[kSample];
    for (int64_t i = 0; i < kSample; ++i) sample[i] = keys_[i * key_count_ / kSample];
    const int64_t rank = std::min(kSample - 1, wanted * kSample * 5 / (4 * key_count_) + 2);
    std::nth_element(sample, sample + rank, sample + kSample);
    return sample[rank];
}

void ListOrder::sort_more() {
    if (key_count_ == 0) score_others();
    // Keys up to the cut are taken out, without a branch that would be taken at random.
    const int64_t cut = cut_of(next_);
    int64_t *keys = keys_, *begin = sorted_ + sorted_count_, *taken = begin;
    int64_t left = 0;
    for (int64_t i = 0; i < key_count_; ++i) {
        const int64_t key = keys[i];
        *taken = key;  // past the last one, too: there is room for one more
        taken += key <= cut;
        keys[left] = key;
        left += key > cut;
    }
    key_count_ = left;
    sorted_count_ += taken - begin;
    std::sort(begin, taken);
    next_ *= 2;
}

}  // namespace pqstore
