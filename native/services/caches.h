// What this processor's caches hold.
#pragma once

#include <cstdint>

namespace pqstore {

// Bytes of data in the first-level cache of a core; 48 KiB if the system does not say.
int64_t first_cache_bytes();

}  // namespace pqstore
