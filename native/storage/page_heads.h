// The first bytes of pages of a file, read one by one: a call of the system each, and nothing between them.
#pragma once

#include <cstddef>
#include <cstdint>

namespace pqstore {

constexpr size_t kPageHead = 16;

// Reads the first 16 bytes of each page into `heads`, 16 bytes a page. False: one of them is not wholly in the file.
bool read_page_heads(int descriptor, const int64_t* pages, size_t count, int64_t page_size, uint8_t* heads);

}  // namespace pqstore
