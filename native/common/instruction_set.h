// The primitives of an instruction set as one type, which the common scans take. A file for one instruction set is
// compiled by itself, and includes its primitives before this.
#pragma once

#include <cstdint>

#include "common/bound_scale.h"
#include "common/nibble_instructions.h"

namespace pqstore {
namespace {

struct InstructionSet : NibbleInstructions {
    using PrefixTables = pqstore::PrefixTables;

    // A call costs as much as some pairs of sub-spaces: the loops over blocks contain the bounds.
    template <int kBits>
    [[gnu::always_inline]] static uint32_t bound_block(const uint8_t* block, const uint8_t* tables,
                                                       const Sections& sections, int limit, uint16_t* sums) {
        return pqstore::bound_block<kBits>(block, tables, sections, limit, sums);
    }
};

}  // namespace
}  // namespace pqstore
