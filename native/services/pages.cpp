#include "services/pages.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>

namespace pqstore {

void ask_for_pages(const void* bytes, size_t size) {
    static const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
    const auto begin = reinterpret_cast<uintptr_t>(bytes), first = begin / page * page;
    // What fails here is read when it is touched.
    (void)posix_madvise(reinterpret_cast<void*>(first), begin - first + size, POSIX_MADV_WILLNEED);
}

}  // namespace pqstore
