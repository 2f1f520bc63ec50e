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
    for (int64_t p = first; p < end; ++p) keys_.push_back(key_of(scores_[static_cast<size_t>(p - first)], p));
}

void ListOrder::sort_more() {
    if (sorted_ == static_cast<int64_t>(keys_.size())) {
        for (int64_t g = 0; g < grid_.G; ++g)
            if (!is_looked_at_[static_cast<size_t>(g)]) score(grid_.first[g], grid_.first[g + 1]);
        is_looked_at_.assign(static_cast<size_t>(grid_.G), true);
    }
    const auto begin = keys_.begin() + sorted_;
    const int64_t count = std::min<int64_t>(next_, static_cast<int64_t>(keys_.size()) - sorted_);
    std::nth_element(begin, begin + (count - 1), keys_.end());
    std::sort(begin, begin + count);
    sorted_ += count;
    next_ *= 2;
}

}  // namespace pqstore
