// SPDX-License-Identifier: Apache-2.0
// The online softmax of prefill attention, over the scores that a warpgroup holds as wgmma leaves
// them (device/wgmma.cuh): of its warp's 16 rows a lane has 8 i + lane / 4 for i 0 and 1, and of
// each the slots 8 tile + 2 (lane % 4) + j for j 0 and 1, as scores[4 * tile + 2 * i + j].
#pragma once

#include "kernels/attention/prefill_items.cuh"
#include "kernels/device/alu.cuh"

namespace sluice::kernels::attention {

// Of a lane's two rows, so far. Maxima are of scores, not yet scaled.
struct Softmax {
  float maximum[2] = {-INFINITY, -INFINITY};
  float sum[2] = {0.0f, 0.0f};  // of this lane's slots alone, until the end
};

__device__ inline float MaxOfQuad(float value) {
  value = fmaxf(value, __shfl_xor_sync(0xffffffffu, value, 1));
  return fmaxf(value, __shfl_xor_sync(0xffffffffu, value, 2));
}

__device__ inline float SumOfQuad(float value) {
  value += __shfl_xor_sync(0xffffffffu, value, 1);
  return value + __shfl_xor_sync(0xffffffffu, value, 2);
}

// Turns scores into weights relative to the new maxima; rescale: what sums and outputs so far have
// to be multiplied with. kMasked: last_slot[i], of the round, is the last one that row i may see,
// may be negative or beyond the round.
template <bool kMasked>
__device__ __forceinline__ void Weigh(float (&scores)[kRoundSlots / 2], const int (&last_slot)[2],
                                      float scale_log2, int lane, Softmax& state,
                                      float (&rescale)[2]) {
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    float maximum = state.maximum[i];
#pragma unroll
    for (int tile = 0; tile < kRoundSlots / 8; ++tile) {
#pragma unroll
      for (int j = 0; j < 2; ++j) {
        float& score = scores[4 * tile + 2 * i + j];
        if (kMasked && 8 * tile + 2 * (lane % 4) + j > last_slot[i]) score = -INFINITY;
        maximum = fmaxf(maximum, score);
      }
    }
    maximum = MaxOfQuad(maximum);
    // A round of which this row sees nothing leaves everything as it is.
    const float base = kMasked && maximum == -INFINITY ? 0.0f : maximum * scale_log2;
    rescale[i] = device::FastExp2(state.maximum[i] * scale_log2 - base);
    state.maximum[i] = maximum;
    float sum = 0.0f;
#pragma unroll
    for (int tile = 0; tile < kRoundSlots / 8; ++tile) {
#pragma unroll
      for (int j = 0; j < 2; ++j) {
        float& score = scores[4 * tile + 2 * i + j];
        score = device::FastExp2(score * scale_log2 - base);
        sum += score;
      }
    }
    state.sum[i] = state.sum[i] * rescale[i] + sum;
  }
}

}  // namespace sluice::kernels::attention
