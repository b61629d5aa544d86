// SPDX-License-Identifier: Apache-2.0
// Reading one row of logits: a warp a segment, four neighbours at a time.
#pragma once

#include "kernels/device/reduce.cuh"
#include "kernels/host/float_math.h"
#include "kernels/sampling/passes.h"

namespace sluice::kernels::sampling {

__device__ inline float MinusInfinity() { return FloatOf(0xff800000u); }
__device__ inline bool IsFinite(float x) { return fabsf(x) <= 3.402823466e+38f; }

__device__ inline int NumValid(const Passes& p) {
  return p.num_valid == nullptr ? p.num_logits : min(*p.num_valid, p.num_logits);
}

// The logits of the ids first .. first + 3 of a row that the vocabulary has. REQUIRES: first is a
// multiple of 4.
__device__ inline float4 LoadFour(const Passes& p, int l, int first) {
  const int vocab = p.logits.vocab();
  float4 x = {0.0f, 0.0f, 0.0f, 0.0f};
  if (first >= vocab) return x;
  if (p.aligned) return *reinterpret_cast<const float4*>(p.logits.At(l, first));
  x.x = *p.logits.At(l, first);
  if (first + 1 < vocab) x.y = *p.logits.At(l, first + 1);
  if (first + 2 < vocab) x.z = *p.logits.At(l, first + 2);
  if (first + 3 < vocab) x.w = *p.logits.At(l, first + 3);
  return x;
}

// Calls f(first, logits) for this lane's ids of a segment, four neighbours at a time. Half of its
// logits are on their way at once, whatever f writes in between; f is inlined once, since
// instructions have to be read, too.
template <typename F>
__device__ inline void ForFours(const Passes& p, int l, int segment, F f) {
  constexpr int kStride = 4 * device::kWarpSize;
  constexpr int kTurns = kSegment / kStride, kAhead = kTurns / 2;
  const int vocab = p.logits.vocab();
  int first = segment * kSegment + 4 * (static_cast<int>(threadIdx.x) % device::kWarpSize);
  float4 ahead[kAhead];
#pragma unroll
  for (int i = 0; i < kAhead; ++i) ahead[i] = LoadFour(p, l, first + i * kStride);
#pragma unroll 1
  for (int turn = 0; turn < kTurns && first < vocab; ++turn, first += kStride) {
    const float4 x = ahead[0];
#pragma unroll
    for (int i = 1; i < kAhead; ++i) ahead[i - 1] = ahead[i];
    if (turn + kAhead < kTurns) ahead[kAhead - 1] = LoadFour(p, l, first + kAhead * kStride);
    f(first, x);
  }
}

}  // namespace sluice::kernels::sampling
