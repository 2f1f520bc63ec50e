#include "services/dispatch.h"

#include "sets/sets.h"

namespace pqstore {
namespace {

// Best first, the fallback last.
const KernelSet* const kBuilt[] = {
#ifdef PQSTORE_HAVE_AVX512
    &kAvx512Kernels,
    &kAvx512WideKernels,
#endif
#ifdef PQSTORE_HAVE_AVX2
    &kAvx2Kernels,
#endif
#ifdef PQSTORE_HAVE_NEON
    &kNeonKernels,
#endif
    &kPortableKernels,
};

}  // namespace

std::vector<const KernelSet*> runnable_kernels() {
    std::vector<const KernelSet*> runnable;
    for (const KernelSet* kernels : kBuilt)
        if (kernels->runs_here()) runnable.push_back(kernels);
    return runnable;
}

const KernelSet* find_kernels(std::string_view name) {
    for (const KernelSet* kernels : runnable_kernels())
        if (name == kernels->name) return kernels;
    return nullptr;
}

}  // namespace pqstore
