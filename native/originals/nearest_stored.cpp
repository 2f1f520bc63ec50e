#include "originals/nearest_stored.h"

#include <algorithm>
#include <chrono>
#include <limits>

#include "originals/rescore.h"
#include "services/pages.h"

namespace pqstore {
namespace {

struct Scored {
    float distance;  // of which less is nearer
    int64_t row;
};

// Where the first candidates come from the disk, the others are asked for together, in its order. Asking costs as much as
// scoring where they are in memory: a few are touched first, and the clock tells.
void ask_if_cold(std::vector<StoredRow>& candidates, size_t size) {
    using Clock = std::chrono::steady_clock;
    constexpr size_t kTouched = 3;
    constexpr std::chrono::microseconds kOfMemory{30};
    if (candidates.size() <= 2 * kTouched) return;
    const Clock::time_point begin = Clock::now();
    for (size_t i = 0; i < kTouched; ++i) (void)*static_cast<const volatile uint8_t*>(candidates[i].bytes);
    if (Clock::now() - begin < kOfMemory) return;
    std::sort(candidates.begin(), candidates.end(),
              [](const StoredRow& a, const StoredRow& b) { return a.row < b.row; });
    for (const StoredRow& candidate : candidates) ask_for_pages(candidate.bytes, size + 4);
}

// False: the checksum of one does not match.
bool score(const StoredOriginals& originals, const std::vector<StoredRow>& candidates, const double* query,
           std::vector<Scored>& scored) {
    constexpr size_t kAhead = 8;
    const size_t size = originals.size;
    const bool least = originals.metric == ExactMetric::kL2;
    const int64_t place = 0;
    for (size_t i = 0; i < std::min(kAhead, candidates.size()); ++i) fetch(candidates[i], size);
    for (size_t i = 0; i < candidates.size(); ++i) {
        if (i + kAhead < candidates.size()) fetch(candidates[i + kAhead], size);
        float exact = 0;
        const RescoreRequest request{originals.kind, originals.metric, candidates[i].bytes, size, query,
                                     originals.D,    &place,           1,                   &exact};
        originals.portable ? rescore_portable(request) : rescore(request);
        if (!is_whole(candidates[i], size)) return false;
        scored.push_back({least ? exact : -exact, candidates[i].row});
    }
    return true;
}

}  // namespace

bool nearest_stored(const StoredOriginals& originals, std::vector<StoredRow>& candidates, const double* query, size_t k,
                    float* distances, int64_t* rows) {
    ask_if_cold(candidates, originals.size);
    std::vector<Scored> scored;
    scored.reserve(candidates.size());
    if (!score(originals, candidates, query, scored)) return false;
    const bool least = originals.metric == ExactMetric::kL2;
    const size_t some = std::min(k, scored.size());
    std::partial_sort(scored.begin(), scored.begin() + static_cast<std::ptrdiff_t>(some), scored.end(),
                      [](const Scored& a, const Scored& b) {
                          return a.distance != b.distance ? a.distance < b.distance : a.row < b.row;
                      });
    const float far = std::numeric_limits<float>::infinity();
    std::fill(distances, distances + k, least ? far : -far);
    std::fill(rows, rows + k, int64_t{-1});
    for (size_t i = 0; i < some; ++i) {
        distances[i] = least ? scored[i].distance : -scored[i].distance;
        rows[i] = scored[i].row;
    }
    return true;
}

}  // namespace pqstore
