#include "lists/list_order.h"

#include <algorithm>
#include <cmath>

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

ListOrder::ListOrder(const KernelSet& kernels, const PartitionGrid& grid, const float* query)
    : kernels_(kernels), grid_(grid), steps_(static_cast<size_t>(grid.width)) {
    put_on_grid(grid, query, steps_.data());
    scores_.resize(static_cast<size_t>(std::max(grid.P, grid.G)));
    keys_.reserve(static_cast<size_t>(grid.P));
    sorted_.reserve(static_cast<size_t>(grid.P));
    if (grid.looked >= grid.G) {
        score(0, grid.P);
        return;
    }
    kernels_.centroid_scores(grid.groups, grid.group_halves, grid.G, grid.width, steps_.data(), scores_.data());
    std::vector<int64_t> groups(static_cast<size_t>(grid.G));
    for (int64_t g = 0; g < grid.G; ++g) groups[static_cast<size_t>(g)] = key_of(scores_[static_cast<size_t>(g)], g);
    std::nth_element(groups.begin(), groups.begin() + grid.looked, groups.end());
    is_looked_at_.resize(static_cast<size_t>(grid.G));
    for (int64_t i = 0; i < grid.looked; ++i) {
        const int64_t g = groups[static_cast<size_t>(i)] & 0xffffffff;
        is_looked_at_[static_cast<size_t>(g)] = true;
        score(grid.first[g], grid.first[g + 1]);
    }
}

// Partitions first .. end - 1.
void ListOrder::score(int64_t first, int64_t end) {
    kernels_.centroid_scores(grid_.centroids + first * grid_.width, grid_.halves + first, end - first, grid_.width,
                             steps_.data(), scores_.data());
    const size_t before = keys_.size();
    keys_.resize(before + static_cast<size_t>(end - first));
    for (int64_t p = first; p < end; ++p)
        keys_[before + static_cast<size_t>(p - first)] = key_of(scores_[static_cast<size_t>(p - first)], p);
}

// A key that about `wanted` keys do not exceed, judged by a sample of them.
int64_t ListOrder::cut_of(int64_t wanted) const {
    constexpr int64_t kSample = 128;
    const auto count = static_cast<int64_t>(keys_.size());
    if (count <= 2 * wanted || count <= kSample) return INT64_MAX;
    int64_t sample[kSample];
    for (int64_t i = 0; i < kSample; ++i) sample[i] = keys_[static_cast<size_t>(i * count / kSample)];
    const int64_t rank = std::min(kSample - 1, wanted * kSample * 5 / (4 * count) + 2);
    std::nth_element(sample, sample + rank, sample + kSample);
    return sample[rank];
}

void ListOrder::sort_more() {
    if (keys_.empty()) {
        for (int64_t g = 0; g < grid_.G; ++g)
            if (!is_looked_at_[static_cast<size_t>(g)]) score(grid_.first[g], grid_.first[g + 1]);
        is_looked_at_.assign(static_cast<size_t>(grid_.G), true);
    }
    // Keys up to the cut are taken out, without a branch that would be taken at random.
    const int64_t cut = cut_of(next_);
    const size_t before = sorted_.size();
    sorted_.resize(before + keys_.size());
    int64_t* taken = sorted_.data() + before;
    size_t left = 0;
    for (const int64_t key : keys_) {
        *taken = key;
        taken += key <= cut;
        keys_[left] = key;
        left += key > cut;
    }
    keys_.resize(left);
    sorted_.resize(static_cast<size_t>(taken - sorted_.data()));
    std::sort(sorted_.begin() + static_cast<std::ptrdiff_t>(before), sorted_.end());
    next_ *= 2;
}

}  // namespace pqstore
