// Kernels for x86-64 with AVX-512 F, BW, VL, DQ, VBMI and VNNI, GFNI and BMI2: Ice Lake, Zen 4 and what came after.
#include <cpuid.h>

#include "avx2/blocks.h"
#include "avx2/centroid_scores.h"
#include "avx2/tables.h"
#include "avx512/batch_scan.h"
#include "avx512/byte_list_bounds.h"
#include "avx512/nearest.h"
#include "avx512/simd.h"
#include "avx512/single_scan.h"
#include "avx512/tables.h"
#include "common/list_bounds.h"
#include "common/nibble_scan.h"
#include "common/plain_scan.h"
#include "common/tables.h"
#include "sets/sets.h"

namespace pqstore {
namespace {

// That the system keeps the registers is part of the answer.
bool has_avx512() {
#ifdef PQSTORE_SIMDE
    return __builtin_cpu_supports("avx2");
#else
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512vnni") &&
           __builtin_cpu_supports("gfni") && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
           __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
#endif
}

// Zen 4 (AMD's family 19h) takes registers of 64 bytes in two halves.
bool halves_registers() {
#ifdef PQSTORE_SIMDE
    return false;
#endif
    unsigned version, unused[3];
    if (!__builtin_cpu_is("amd") || !__get_cpuid(1, &version, unused, unused + 1, unused + 2)) return false;
    return (version >> 8 & 15) + (version >> 20 & 255) == 0x19;
}

// What was measured where registers are halved (docs/performance.md): AVX2 is as quick or quicker with 4-bit codes for
// few queries, and with many queries at once over many sub-spaces where they want much of few rows.
bool as_quick_in_halves(const ScanRequest& request) {
    if (request.layout.kind == LayoutKind::kBlock4) return request.queries < 4;
    const int64_t rows = count_blocks(request) * kBlockRows;
    return request.queries >= 32 && request.layout.M > 40 && rows / 2500 < request.k;
}

template <typename Codes>
void scan_batch(const ScanRequest& request) {
    run_scan<BatchScanner<Codes>>(request, BatchScanner<Codes>::group_of(request.layout));
}

void scan_wide(const ScanRequest& request) {
    if (is_plain(request)) return plain_scan(request);
    const bool alone = request.queries < kLeastQueriesOfBatch;
    const bool lists = request.living != nullptr;
    if (request.layout.kind == LayoutKind::kBlock4 && lists)
        return run_scan<ListScanner<NibbleListBounds<NibbleInstructions>>>(request);
    if (lists) return run_scan<ListScanner<ByteListBounds>>(request);
    if (request.layout.kind == LayoutKind::kBlock4)
        return alone ? run_scan<NibbleScanner<NibbleInstructions>>(request) : scan_batch<NibbleCodes>(request);
    return alone ? run_scan<SingleScanner>(request) : scan_batch<ByteCodes>(request);
}

void scan(const ScanRequest& request) {
    static const bool halved = halves_registers();
    if (halved && request.layout.in_blocks() && as_quick_in_halves(request)) return kAvx2Kernels.scan(request);
    scan_wide(request);
}

// Wider registers gain 2 % where they are halved, and are unmeasured elsewhere.
void exact_scan_avx2(const ExactScanRequest& request) { kAvx2Kernels.exact_scan(request); }

bool has_wide_choice() { return has_avx512() && halves_registers(); }

constexpr KernelSet kernels(const char* name, bool (*runs_here)(), void (*scan_with)(const ScanRequest&)) {
    return {name,
            runs_here,
            dtables_avx2,
            scan_tables_avx512,
            adist,
            encode<Avx512Nearest>,
            lloyd_step<Avx512Nearest>,
            pack_blocks_avx2,
            unpack_blocks,
            scan_with,
            exact_scan_avx2,
            centroid_scores_avx2};
}

}  // namespace

const KernelSet kAvx512Kernels = kernels("avx512", has_avx512, scan);
const KernelSet kAvx512WideKernels = kernels("avx512-wide", has_wide_choice, scan_wide);

}  // namespace pqstore
