// Kernels for AArch64, where every processor has NEON.
#include "common/centroid_scores.h"
#include "common/blocks.h"
#include "common/exact_scan.h"
#include "common/list_bounds.h"
#include "common/nibble_scan.h"
#include "common/plain_scan.h"
#include "common/prefix_scan.h"
#include "common/scan_tables.h"
#include "common/tables.h"
#include "neon/floats.h"
#include "neon/nearest.h"
#include "neon/simd.h"
#include "neon/tables.h"
#include "sets/sets.h"

namespace pqstore {
namespace {

bool has_neon() { return true; }

void scan(const ScanRequest& request) {
    if (is_plain(request)) return plain_scan(request);
    if (request.living) return scan_lists<InstructionSet>(request);
    if (request.layout.kind == LayoutKind::kBlock4) return run_scan<NibbleScanner<InstructionSet>>(request);
    run_scan<PrefixScanner<InstructionSet>>(request);
}

void exact_scan_neon(const ExactScanRequest& request) { exact_scan<NeonFloats>(request, rescore); }

}  // namespace

const KernelSet kNeonKernels = {
    "neon",      has_neon,      dtables_neon, scan_tables, adist, encode<NeonNearest>, lloyd_step<NeonNearest>,
    pack_blocks, unpack_blocks, scan,          exact_scan_neon,        centroid_scores,
};

}  // namespace pqstore
