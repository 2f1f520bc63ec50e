#include "originals/rescore_loops.h"

namespace pqstore {
namespace {

float from_half(uint16_t half) {
    const uint32_t sign = static_cast<uint32_t>(half & 0x8000) << 16, exponent = half >> 10 & 31, fraction = half & 1023;
    if (exponent == 0) {  // zero and the subnormal: fraction times 2^-24, which is exact
        const float value = static_cast<float>(fraction) * 0x1p-24f;
        return sign != 0 ? -value : value;
    }
    const uint32_t bits = sign | (exponent == 31 ? 0x7f800000 : (exponent + 112) << 23) | fraction << 13;
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

struct Pairs {
    using Double = double __attribute__((vector_size(16)));
    static constexpr size_t kWidth = 2;

    static Double widen(const float* values) { return Double{values[0], values[1]}; }
};

struct ReadFloat16 {
    const uint8_t* bytes;
    ReadFloat16(const uint8_t* original, size_t) : bytes(original) {}
    float one(size_t d) const { return from_half(load_at<uint16_t>(bytes, d)); }
    void read(size_t d, float values[kLanes]) const {
        for (size_t j = 0; j < kLanes; ++j) values[j] = one(d + j);
    }
};

}  // namespace

void rescore_portable(const RescoreRequest& request) {
    switch (request.kind) {
        case OriginalKind::kFloat32: return score_by_metric<Pairs, ReadFloat32>(request);
        case OriginalKind::kFloat16: return score_by_metric<Pairs, ReadFloat16>(request);
        case OriginalKind::kInt8: return score_by_metric<Pairs, ReadInt8>(request);
    }
}

void rescore(const RescoreRequest& request) {
#ifdef PQSTORE_HAVE_F16C
    if (has_f16c()) return rescore_f16c(request);
#endif
    rescore_portable(request);
}

void decode_original(OriginalKind kind, const uint8_t* original, int64_t D, float* vector) {
#ifdef PQSTORE_HAVE_F16C
    if (has_f16c()) return decode_f16c(kind, original, D, vector);
#endif
    switch (kind) {
        case OriginalKind::kFloat32: return decode_by<ReadFloat32>(original, D, vector);
        case OriginalKind::kFloat16: return decode_by<ReadFloat16>(original, D, vector);
        case OriginalKind::kInt8: return decode_by<ReadInt8>(original, D, vector);
    }
}

Halves to_halves([[maybe_unused]] const float* values, [[maybe_unused]] size_t count,
                 [[maybe_unused]] uint16_t* halves) {
#ifdef PQSTORE_HAVE_F16C
    if (has_f16c()) return to_halves_f16c(values, count, halves) ? Halves::kAllFinite : Halves::kSomeInfinite;
#endif
    return Halves::kNotHere;
}

}  // namespace pqstore
