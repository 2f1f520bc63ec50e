// Kernels in plain C++, written so that a compiler can vectorize them: they serve every machine.
#include "common/centroid_scores.h"
#include "common/blocks.h"
#include "common/exact_scan.h"
#include "common/floats.h"
#include "common/nearest.h"
#include "common/plain_scan.h"
#include "common/scan_tables.h"
#include "common/tables.h"
#include "common/top_k.h"
#include "sets/sets.h"

namespace pqstore {
namespace {

// Whole numbers held as floats: every machine multiplies floats side by side.
struct PortableNearest {
    using Cell = float;
    using Score = float;
    static constexpr int64_t kTogether = 1;

    // 2 Ds + 1 operations on numbers below 1.5 * 2^30 and a little.
    static float rounding(int64_t Ds) { return 100 * static_cast<float>(2 * Ds + 1); }

    static float put_on_grid(const Grid& grid, const float* x, float* row) {
        // Adding it and taking it away rounds to a whole number.
        constexpr float kRound = 12582912.0f, kLargest = 32767.0f;
        float norm = 0;
        for (int64_t d = 0; d < grid.Ds; ++d) {
            const float place = (x[d] - grid.origin[d]) * grid.scale;
            const float inside = place < -kLargest ? -kLargest : place < kLargest ? place : kLargest;
            row[d] = (inside + kRound) - kRound;
            norm += row[d] * row[d];
        }
        return norm;
    }

    static void search(const CodewordTile<PortableNearest>& tile, const GridRows<PortableNearest>& rows, int64_t n,
                       TileWinners& winners) {
        for (int64_t i = 0; i < n; ++i) {
            float best = kInfinity, second = kInfinity;
            int64_t index = 0;
            for (int64_t first = 0; first < tile.count; first += kPanel) {
                float scores[kPanel];
                panel_scores(tile, first, rows.values + i * rows.stride, scores);
                for (int64_t k = 0; k < kPanel; ++k) {
                    if (scores[k] < best) {
                        second = best;
                        best = scores[k];
                        index = first + k;
                    } else if (scores[k] < second) {
                        second = scores[k];
                    }
                }
            }
            winners.best[i] = best;
            winners.second[i] = second;
            winners.index[i] = static_cast<int32_t>(index);
        }
    }

    static void scores(const CodewordTile<PortableNearest>& tile, const float* row, float* scores) {
        for (int64_t first = 0; first < tile.count; first += kPanel) panel_scores(tile, first, row, scores + first);
    }

  private:
    static void panel_scores(const CodewordTile<PortableNearest>& tile, int64_t first, const float* row,
                             float* scores) {
        float sums[kPanel];
        std::copy(tile.half_norms + first, tile.half_norms + first + kPanel, sums);
        const float* columns = tile.negated + first * tile.steps;
        for (int64_t d = 0; d < tile.steps; ++d, columns += kPanel)
            for (int64_t k = 0; k < kPanel; ++k) sums[k] += row[d] * columns[k];
        std::copy(sums, sums + kPanel, scores);
    }
};

bool runs_everywhere() { return true; }

void exact_scan_portable(const ExactScanRequest& request) { exact_scan<PortableFloats>(request, rescore_portable); }

}  // namespace

const KernelSet kPortableKernels = {
    "portable",  runs_everywhere, dtables,    scan_tables, adist, encode<PortableNearest>, lloyd_step<PortableNearest>,
    pack_blocks, unpack_blocks,   plain_scan,          exact_scan_portable, centroid_scores,
};

}  // namespace pqstore
