// SPDX-License-Identifier: Apache-2.0
// The floating-point types a checkpoint stores, and their exact conversion to float. Widening never
// rounds, so kernels keep 16-bit weights as they are and convert in registers. What is rounded, for
// GPUs, is rounded to bf16.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace sluice::kernels::cpu {

enum class FloatType : uint8_t { kF32, kF16, kBf16 };

inline constexpr size_t FloatTypeBytes(FloatType type) { return type == FloatType::kF32 ? 4 : 2; }

inline float Bf16ToFloat(uint16_t bits) {
  return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
}

inline float F16ToFloat(uint16_t bits) {
  const uint32_t sign = static_cast<uint32_t>(bits & 0x8000u) << 16;
  const uint32_t exponent = (bits >> 10) & 0x1Fu;
  const uint32_t mantissa = bits & 0x3FFu;
  if (exponent == 0) {  // zero or subnormal: mantissa * 2^-24, exact in float
    const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
    return std::bit_cast<float>(std::bit_cast<uint32_t>(magnitude) | sign);
  }
  if (exponent == 31) {  // infinity, or a NaN, made quiet as the conversion instruction does
    const uint32_t quiet = mantissa == 0 ? 0u : 0x400000u;
    return std::bit_cast<float>(sign | 0x7F800000u | (mantissa << 13) | quiet);
  }
  return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (mantissa << 13));
}

// To the nearest, ties to even; a NaN stays one.
inline uint16_t FloatToBf16(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7FFFFFFFu) > 0x7F800000u) return static_cast<uint16_t>(bits >> 16 | 0x40u);
  return static_cast<uint16_t>((bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16);
}

// Element `index` of an array of `type`. data needs no alignment: safetensors files promise none.
inline float LoadFloat(const void* data, FloatType type, int64_t index) {
  const auto* bytes = static_cast<const std::byte*>(data);
  if (type == FloatType::kF32) {
    float value;
    std::memcpy(&value, bytes + index * 4, 4);
    return value;
  }
  uint16_t half;
  std::memcpy(&half, bytes + index * 2, 2);
  return type == FloatType::kBf16 ? Bf16ToFloat(half) : F16ToFloat(half);
}

}  // namespace sluice::kernels::cpu
