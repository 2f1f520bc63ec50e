// Float32 numbers side by side in NEON registers: the primitives of an exact scan.
#pragma once

#include <arm_neon.h>

#include "common/floats.h"

namespace pqstore {
namespace {

struct NeonFloats : PortableFloats {
    static constexpr int kQueries = 6, kVectors = 4;  // 24 sums of 32 registers

    static Register multiply_add(Register a, Register b, Register sum) { return vfmaq_f32(sum, a, b); }
    static Register root(Register a) { return vsqrtq_f32(a); }
    static uint32_t not_below(Register a, Register b) {
        const uint16x4_t kept = vmovn_u32(vmvnq_u32(vcltq_f32(a, b)));
        const uint16x4_t bits = {1, 2, 4, 8};
        return vaddv_u16(vand_u16(kept, bits));
    }
    static Register sums(const Register rows[kLanes]) {
        return vpaddq_f32(vpaddq_f32(rows[0], rows[1]), vpaddq_f32(rows[2], rows[3]));
    }
    static void transpose(Register rows[kLanes]) {
        const float32x4_t low = vtrn1q_f32(rows[0], rows[1]), high = vtrn2q_f32(rows[0], rows[1]);
        const float32x4_t low_next = vtrn1q_f32(rows[2], rows[3]), high_next = vtrn2q_f32(rows[2], rows[3]);
        rows[0] = vcombine_f32(vget_low_f32(low), vget_low_f32(low_next));
        rows[1] = vcombine_f32(vget_low_f32(high), vget_low_f32(high_next));
        rows[2] = vcombine_f32(vget_high_f32(low), vget_high_f32(low_next));
        rows[3] = vcombine_f32(vget_high_f32(high), vget_high_f32(high_next));
    }
};

}  // namespace
}  // namespace pqstore
