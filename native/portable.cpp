// Kernels in plain C++, written so that a compiler can vectorize them: they serve every machine.
#include "common/blocks.h"
#include "common/nearest.h"
#include "common/plain_scan.h"
#include "common/scan_tables.h"
#include "common/tables.h"
#include "kernels.h"

namespace pqstore {
namespace {

struct PortableNearest {
    static constexpr int64_t kRows = 1;

    static void search(const CodewordTile& tile, const float* const x[kRows], const float slack[kRows],
                       TileWinner winners[kRows]) {
        TileWinner winner{kInfinity, 0, true};
        for (int64_t first = 0; first < tile.count; first += kPanel) {
            float scores[kPanel];
            std::copy(tile.half_norms + first, tile.half_norms + first + kPanel, scores);
            for (int64_t d = 0; d < tile.Ds; ++d) {
                const float* columns = tile.columns + first * tile.Ds + d * kPanel;
                for (int64_t k = 0; k < kPanel; ++k) scores[k] -= x[0][d] * columns[k];
            }
            for (int64_t k = 0; k < kPanel; ++k) {
                if (scores[k] < winner.score) {
                    winner.sure = scores[k] + slack[0] < winner.score;
                    winner.score = scores[k];
                    winner.index = static_cast<int32_t>(first + k);
                } else if (!(scores[k] > winner.score + slack[0])) {
                    winner.sure = false;
                }
            }
        }
        winners[0] = winner;
    }
};

bool runs_everywhere() { return true; }

}  // namespace

const KernelSet kPortableKernels = {
    "portable",  runs_everywhere, dtables,    scan_tables, adist, encode<PortableNearest>, lloyd_step<PortableNearest>,
    pack_blocks, unpack_blocks,   plain_scan,
};

}  // namespace pqstore
