// SPDX-License-Identifier: Apache-2.0
// Single instructions of the arithmetic units that C++ has no name for.
#pragma once

#include <cstdint>

namespace sluice::kernels::device {

// value & mask | bits (PTX ISA 9.7.8.6, lop3). Written in C++ it becomes two instructions where
// both are constants.
__device__ inline uint32_t AndOr(uint32_t value, uint32_t mask, uint32_t bits) {
  uint32_t result;
  asm("lop3.b32 %0, %1, %2, %3, 0xea;" : "=r"(result) : "r"(value), "r"(mask), "r"(bits));
  return result;
}

// 1 / x up to 1 unit of the last place; subnormal x count as zero, whose reciprocal is infinite.
__device__ inline float FastReciprocal(float x) {
  float result;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
  return result;
}

// 2^x up to 2 units of the last place; results below 2^-126 are zero.
__device__ inline float FastExp2(float x) {
  float result;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
  return result;
}

}  // namespace sluice::kernels::device
