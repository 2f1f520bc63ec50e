// Pages of mapped files that are wanted soon.
#pragma once

#include <cstddef>

namespace pqstore {

// Has the system read the pages that hold these bytes, and does not wait for them.
void ask_for_pages(const void* bytes, size_t size);

}  // namespace pqstore
