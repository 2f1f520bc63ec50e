#include "services/caches.h"

#include <unistd.h>

namespace pqstore {

int64_t first_cache_bytes() {
#ifdef _SC_LEVEL1_DCACHE_SIZE
    static const int64_t said = sysconf(_SC_LEVEL1_DCACHE_SIZE);
    if (said > 0) return said;
#endif
    return int64_t{48} << 10;
}

}  // namespace pqstore
