// Float32 numbers side by side, four at a time, for any processor: the primitives of an exact scan.
//
// The type of a register is the compiler's own (GCC, Clang), which it maps to SSE, NEON, or to plain numbers.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

namespace pqstore {
namespace {

struct PortableFloats {
    using Register = float __attribute__((vector_size(16)));
    static constexpr int kLanes = 4;
    // What is multiplied at a time: kQueries queries by kVectors registers of rows. The sums fill most registers.
    static constexpr int kQueries = 4, kVectors = 2;

    static Register zero() { return Register{}; }
    static Register spread(float value) { return Register{value, value, value, value}; }

    // From any address.
    static Register load(const void* from) {
        Register values;
        std::memcpy(&values, from, sizeof values);
        return values;
    }
    // The first `count` lanes, which is less than kLanes; the others are zero, and their memory is not touched.
    static Register load_some(const void* from, int64_t count) {
        Register values{};
        std::memcpy(&values, from, static_cast<size_t>(count) * sizeof(float));
        return values;
    }
    static void store(float* to, Register values) { std::memcpy(to, &values, sizeof values); }

    static Register add(Register a, Register b) { return a + b; }
    static Register subtract(Register a, Register b) { return a - b; }
    static Register multiply(Register a, Register b) { return a * b; }
    static Register multiply_add(Register a, Register b, Register sum) { return a * b + sum; }
    static Register root(Register a) {
        return Register{std::sqrt(a[0]), std::sqrt(a[1]), std::sqrt(a[2]), std::sqrt(a[3])};
    }
    // `a` where low <= bound <= high, NaN elsewhere, also where bound is NaN.
    static Register only_within(Register a, Register bound, float low, float high) {
        for (int i = 0; i < kLanes; ++i)
            if (!(bound[i] >= low && bound[i] <= high)) a[i] = NAN;
        return a;
    }

    // Bit i: not a[i] < b[i], which is also said of NaN.
    static uint32_t not_below(Register a, Register b) {
        const auto below = a < b;
        uint32_t bits = 0;
        for (int i = 0; i < kLanes; ++i) bits |= static_cast<uint32_t>(below[i] == 0) << i;
        return bits;
    }

    // Lane i: the sum of the lanes of rows[i].
    static Register sums(const Register rows[kLanes]) {
        Register turned[kLanes] = {rows[0], rows[1], rows[2], rows[3]};
        transpose(turned);
        return (turned[0] + turned[1]) + (turned[2] + turned[3]);
    }

    static void transpose(Register rows[kLanes]) {
        const Register a = rows[0], b = rows[1], c = rows[2], d = rows[3];
        rows[0] = Register{a[0], b[0], c[0], d[0]};
        rows[1] = Register{a[1], b[1], c[1], d[1]};
        rows[2] = Register{a[2], b[2], c[2], d[2]};
        rows[3] = Register{a[3], b[3], c[3], d[3]};
    }
};

}  // namespace
}  // namespace pqstore
