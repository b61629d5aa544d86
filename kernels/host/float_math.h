// SPDX-License-Identifier: Apache-2.0
// Float arithmetic that has to give the same bits on the CPU and on the GPU.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "kernels/host/host_device.h"

namespace sluice::kernels {

SLUICE_HOST_DEVICE inline uint32_t BitsOf(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof(bits));
  return bits;
}

SLUICE_HOST_DEVICE inline float FloatOf(uint32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof(value));
  return value;
}

// a * b, rounded: nvcc would fuse it with an addition that follows, and round once.
SLUICE_HOST_DEVICE inline float Product(float a, float b) {
#ifdef __CUDA_ARCH__
  return __fmul_rn(a, b);
#else
  return a * b;
#endif
}

// exp(x) for x in [-87, 88].
SLUICE_HOST_DEVICE inline float ExpInRange(float x) {
  const float n = fmaf(x, 1.44269504f, 12582912.0f) - 12582912.0f;  // rounds to an integer
  float r = fmaf(n, -0.693359375f, x);
  r = fmaf(n, 2.12194440e-4f, r);
  float p = 1.9875691500e-4f;
  p = fmaf(p, r, 1.3981999507e-3f);
  p = fmaf(p, r, 8.3334519073e-3f);
  p = fmaf(p, r, 4.1665795894e-2f);
  p = fmaf(p, r, 1.6666665459e-1f);
  p = fmaf(p, r, 5.0000001201e-1f);
  p = fmaf(p, r * r, r) + 1.0f;
  // n is in [-126, 127], so 2^n is a normal float.
  return p * FloatOf(static_cast<uint32_t>(static_cast<int>(n) + 127) << 23);
}

// exp(x), one lane of kernels/cpu/simd/vec_math.h: Cody-Waite reduction by ln 2 and the degree-5
// minimax polynomial of Cephes' expf (Moshier), each step an fma; within 1 ulp for x in [-87, 88].
// x < -87 gives exactly 0, x > 88 gives exp(88); NaN stays NaN.
SLUICE_HOST_DEVICE inline float Exp(float x) {
  if (x != x) return x;
  if (x < -87.0f) return 0.0f;
  return ExpInRange(x > 88.0f ? 88.0f : x);
}

// Exp for x that is at most 88 and not NaN, minus infinity included; without a branch.
SLUICE_HOST_DEVICE inline float ExpAtMost88(float x) {
  const float result = ExpInRange(x < -87.0f ? -87.0f : x);
  return x < -87.0f ? 0.0f : result;
}

}  // namespace sluice::kernels
