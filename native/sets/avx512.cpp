// Kernels for x86-64 with AVX-512 F, BW, VL, DQ, VBMI and VNNI, GFNI and BMI2: Ice Lake, Zen 4 and what came after.
#include "avx2/blocks.h"
#include "avx2/tables.h"
#include "avx512/batch_scan.h"
#include "avx512/nearest.h"
#include "avx512/simd.h"
#include "avx512/single_scan.h"
#include "avx512/tables.h"
#include "common/nibble_scan.h"
#include "common/plain_scan.h"
#include "common/tables.h"
#include "sets/sets.h"

namespace pqstore {
namespace {

// That the system keeps the registers is part of the answer.
bool has_avx512() {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512vnni") &&
           __builtin_cpu_supports("gfni") && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
           __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
}

void scan(const ScanRequest& request) {
    if (is_plain(request)) return plain_scan(request);
    if (request.layout.kind == LayoutKind::kBlock4)
        return request.queries == 1 ? run_scan<NibbleScanner<NibbleInstructions>>(request)
                                    : run_scan<BatchScanner<NibbleCodes>>(request);
    return request.queries == 1 ? run_scan<SingleScanner>(request) : run_scan<BatchScanner<ByteCodes>>(request);
}

}  // namespace

const KernelSet kAvx512Kernels = {
    "avx512",
    has_avx512,
    dtables_avx2,
    scan_tables_avx512,
    adist,
    encode<Avx512Nearest>,
    lloyd_step<Avx512Nearest>,
    pack_blocks_avx2,
    unpack_blocks,
    scan,
};

}  // namespace pqstore
