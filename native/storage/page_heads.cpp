#include "storage/page_heads.h"

#include <unistd.h>

#include <cerrno>
#include <limits>

namespace pqstore {

bool read_page_heads(int descriptor, const int64_t* pages, size_t count, int64_t page_size, uint8_t* heads) {
    const int64_t last = std::numeric_limits<off_t>::max() / page_size - 1;
    for (size_t i = 0; i < count; ++i) {
        if (pages[i] < 0 || pages[i] > last) return false;
        const auto at = static_cast<off_t>(pages[i] * page_size);
        ssize_t read = 0;
        do {
            read = pread(descriptor, heads + i * kPageHead, kPageHead, at);
        } while (read < 0 && errno == EINTR);
        if (read != static_cast<ssize_t>(kPageHead)) return false;
    }
    return true;
}

}  // namespace pqstore
