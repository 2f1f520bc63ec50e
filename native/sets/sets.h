// The kernel sets that this build holds. Which of them run on this machine: see dispatch.h.
#pragma once

#include "contract.h"

namespace pqstore {

extern const KernelSet kPortableKernels;
#ifdef PQSTORE_HAVE_AVX512
extern const KernelSet kAvx512Kernels;
// The same without what AVX2 does in its place on some processors: only where there is a difference.
extern const KernelSet kAvx512WideKernels;
#endif
#ifdef PQSTORE_HAVE_AVX2
extern const KernelSet kAvx2Kernels;
#endif
#ifdef PQSTORE_HAVE_NEON
extern const KernelSet kNeonKernels;
#endif

}  // namespace pqstore
