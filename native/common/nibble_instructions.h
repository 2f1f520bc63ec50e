// What scans of 4-bit codes ask of an instruction set, as one type. A file for one instruction set is compiled by
// itself, and includes its primitives before this.
#pragma once

#include <cstdint>

#include "common/bound_scale.h"

namespace pqstore {
namespace {

struct NibbleInstructions {
    static constexpr int64_t kPrefetchBytes = pqstore::kPrefetchBytes;

    static void prefetch(const uint8_t* codes, int64_t ahead, int64_t size) { pqstore::prefetch(codes, ahead, size); }
    static void quantize_down(const float* values, int64_t count, float scale, uint8_t* bytes) {
        pqstore::quantize_down(values, count, scale, bytes);
    }

    static int sum_position(int lane) { return pqstore::sum_position(lane); }
    static uint32_t lanes_within(const uint16_t* sums, int limit) { return pqstore::lanes_within(sums, limit); }
    static int64_t count_within(const uint16_t* sums, int64_t blocks, int64_t stride, int limit) {
        return pqstore::count_within(sums, blocks, stride, limit);
    }

    static float above_least(const float* table, float* entries, double* total) {
        return pqstore::above_least(table, entries, total);
    }
    [[gnu::always_inline]] static void nibble_sums(const uint8_t* block, const uint8_t* tables, int64_t pairs,
                                                   const Sections& sections, uint16_t* sums) {
        pqstore::nibble_sums(block, tables, pairs, sections, sums);
    }
    template <int kQueries>
    [[gnu::always_inline]] static bool bound_nibbles(const uint8_t* block, const uint8_t* tables, int64_t pairs,
                                                     const Sections& sections, int limit, uint32_t within[kQueries]) {
        return pqstore::bound_nibbles<kQueries>(block, tables, pairs, sections, limit, within);
    }
};

}  // namespace
}  // namespace pqstore
