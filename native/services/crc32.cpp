#include "services/crc32.h"

#include <array>

namespace pqstore {
namespace {

constexpr uint32_t kPolynomial = 0xedb88320;  // IEEE 802.3, bits reflected

// tables[j][b]: what byte b contributes when j more bytes follow it.
constexpr std::array<std::array<uint32_t, 256>, 8> make_tables() {
    std::array<std::array<uint32_t, 256>, 8> tables{};
    for (uint32_t byte = 0; byte < 256; ++byte) {
        uint32_t remainder = byte;
        for (int bit = 0; bit < 8; ++bit) remainder = (remainder >> 1) ^ (remainder & 1 ? kPolynomial : 0);
        tables[0][byte] = remainder;
    }
    for (size_t j = 1; j < 8; ++j)
        for (size_t byte = 0; byte < 256; ++byte)
            tables[j][byte] = (tables[j - 1][byte] >> 8) ^ tables[0][tables[j - 1][byte] & 255];
    return tables;
}

constexpr auto kTables = make_tables();

uint32_t by_tables(const uint8_t* bytes, size_t size, uint32_t state) {
    for (; size >= 8; size -= 8, bytes += 8) {
        uint64_t word = 0;
        for (int i = 0; i < 8; ++i) word |= static_cast<uint64_t>(bytes[i]) << (8 * i);
        word ^= state;
        state = 0;
        for (size_t i = 0; i < 8; ++i) state ^= kTables[7 - i][(word >> (8 * i)) & 255];
    }
    for (; size > 0; --size, ++bytes) state = (state >> 8) ^ kTables[0][(state ^ *bytes) & 255];
    return state;
}

}  // namespace

uint32_t crc32(const uint8_t* bytes, size_t size, uint32_t value) {
    uint32_t state = ~value;
#ifdef PQSTORE_HAVE_PCLMUL
    constexpr size_t kWorthFolding = 256;
    if (size >= kWorthFolding && crc32_can_fold()) {
        uint8_t remainder[16];
        const size_t folded = crc32_fold(bytes, size, state, remainder);
        state = by_tables(remainder, sizeof remainder, 0);
        bytes += folded;
        size -= folded;
    }
#endif
    return ~by_tables(bytes, size, state);
}

}  // namespace pqstore
