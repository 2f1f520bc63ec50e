// Kernels for x86-64 with AVX2, FMA and BMI.
#include "avx2/blocks.h"
#include "avx2/centroid_scores.h"
#include "avx2/floats.h"
#include "avx2/interleaved_scan.h"
#include "avx2/nearest.h"
#include "avx2/simd.h"
#include "avx2/tables.h"
#include "common/exact_scan.h"
#include "common/list_bounds.h"
#include "common/nibble_scan.h"
#include "common/plain_scan.h"
#include "common/prefix_scan.h"
#include "common/tables.h"
#include "sets/sets.h"

namespace pqstore {
namespace {

bool has_avx2() {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi") &&
           __builtin_cpu_supports("bmi2");
}

void scan(const ScanRequest& request) {
    if (is_plain(request)) return plain_scan(request);
    if (request.living) return scan_lists<InstructionSet>(request);
    if (request.layout.kind == LayoutKind::kBlock4) return run_scan<NibbleScanner<InstructionSet>>(request);
    if (request.queries == 1) return run_scan<PrefixScanner<InstructionSet>>(request);
    run_scan<InterleavedScanner>(request);
}

void exact_scan_avx2(const ExactScanRequest& request) { exact_scan<Avx2Floats>(request, rescore); }

}  // namespace

const KernelSet kAvx2Kernels = {
    "avx2",
    has_avx2,
    dtables_avx2,
    scan_tables_avx2,
    adist,
    encode<Avx2Nearest>,
    lloyd_step<Avx2Nearest>,
    pack_blocks_avx2,
    unpack_blocks,
    scan,
    exact_scan_avx2,
    centroid_scores_avx2,
};

}  // namespace pqstore
