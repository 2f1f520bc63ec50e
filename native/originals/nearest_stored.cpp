#include "originals/nearest_stored.h"

#include <algorithm>
#include <chrono>
#include <limits>
#include <numeric>

#include "originals/rescore.h"
#include "services/pages.h"

namespace pqstore {
namespace {

// Where the first candidates come from the disk, the others are asked for together. Asking costs as much as scoring
// where they are in memory: a few are touched first, and the clock tells.
void ask_if_cold(const std::vector<StoredRow>& candidates, size_t size) {
    using Clock = std::chrono::steady_clock;
    constexpr size_t kTouched = 3;
    constexpr std::chrono::microseconds kOfMemory{30};
    if (candidates.size() <= 2 * kTouched) return;
    const Clock::time_point begin = Clock::now();
    for (size_t i = 0; i < kTouched; ++i) (void)*static_cast<const volatile uint8_t*>(candidates[i].bytes);
    if (Clock::now() - begin < kOfMemory) return;
    for (size_t i = kTouched; i < candidates.size(); ++i) ask_for_pages(candidates[i].bytes, size + 4);
}

// The exact distances of candidates. False: the checksum of one does not match.
bool score(const StoredOriginals& originals, const std::vector<StoredRow>& candidates, const double* query,
           std::vector<float>& exact) {
    constexpr size_t kAhead = 8;
    const size_t size = originals.size;
    const int64_t place = 0;
    exact.resize(candidates.size());
    ask_if_cold(candidates, size);
    for (size_t i = 0; i < std::min(kAhead, candidates.size()); ++i) fetch(candidates[i], size);
    for (size_t i = 0; i < candidates.size(); ++i) {
        if (i + kAhead < candidates.size()) fetch(candidates[i + kAhead], size);
        const RescoreRequest request{originals.kind, originals.metric, candidates[i].bytes, size, query,
                                     originals.D,    &place,           1,                   &exact[i]};
        originals.portable ? rescore_portable(request) : rescore(request);
        if (!is_whole(candidates[i], size)) return false;
    }
    return true;
}

}  // namespace

bool nearest_stored(const StoredOriginals& originals, std::vector<StoredRow>& candidates, const double* query, size_t k,
                    float* distances, int64_t* rows) {
    std::sort(candidates.begin(), candidates.end(),
              [](const StoredRow& a, const StoredRow& b) { return a.row < b.row; });
    std::vector<float> exact;
    if (!score(originals, candidates, query, exact)) return false;
    const bool least = originals.metric == ExactMetric::kL2;
    std::vector<size_t> order(candidates.size());
    std::iota(order.begin(), order.end(), size_t{0});
    const size_t some = std::min(k, order.size());
    std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(some), order.end(),
                      [&](size_t a, size_t b) {
                          if (exact[a] != exact[b]) return least ? exact[a] < exact[b] : exact[a] > exact[b];
                          return a < b;
                      });
    const float far = std::numeric_limits<float>::infinity();
    std::fill(distances, distances + k, least ? far : -far);
    std::fill(rows, rows + k, int64_t{-1});
    for (size_t i = 0; i < some; ++i) {
        distances[i] = exact[order[i]];
        rows[i] = candidates[order[i]].row;
    }
    return true;
}

}  // namespace pqstore
