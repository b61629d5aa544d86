// SPDX-License-Identifier: Apache-2.0
#include "kernels/awq/linear_output.cuh"
#include "kernels/device/bf16.cuh"
#include "kernels/device/launch.cuh"
#include "kernels/device/reduce.cuh"
#include "kernels/rope/head_norm_rope.h"

namespace sluice::kernels::rope {
namespace {

using attention::kHeadDim;
using attention::kPageSlots;

constexpr int kHalf = kHeadDim / 2;
constexpr int kWarps = 8;
static_assert(kHeadDim == 4 * device::kWarpSize, "a lane holds four neighbouring values of a head");

__global__ void RopeAnglesKernel(RopeAngles angles) {
  const int row = static_cast<int>(blockIdx.x), i = static_cast<int>(threadIdx.x);
  // Not the fast intrinsics: angles reach the longest position.
  const float angle = static_cast<float>(angles.positions[row]) * angles.inv_freq[i];
  angles.out[row * kHalf + i] = {cosf(angle) * angles.attention_factor,
                                 sinf(angle) * angles.attention_factor};
}

__device__ float4 Normed(float4 x, float4 weight, float eps) {
  const float squares = device::WarpSum(x.x * x.x + x.y * x.y + x.z * x.z + x.w * x.w);
  const float factor = rsqrtf(squares / kHeadDim + eps);
  return {weight.x * (x.x * factor), weight.y * (x.y * factor), weight.z * (x.z * factor),
          weight.w * (x.w * factor)};
}

// The lower half of the head is in lanes 0 .. 15, the upper one in 16 .. 31.
__device__ float Turned(float own, float2 angle, bool upper) {
  const float other = __shfl_xor_sync(0xffffffffu, own, 16);
  return upper ? own * angle.x + other * angle.y : own * angle.x - other * angle.y;
}

// A warp's head of one row.
__device__ void DoHead(const HeadNormRope& p, int row, int head) {
  const int num_kv_heads = p.pages.num_kv_heads;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int column = 4 * lane;
  float4 x = awq::Load4(p.qkv, row, head * kHeadDim + column);
  const int kv_head = (head - p.num_q_heads) % num_kv_heads;
  const bool is_query = head < p.num_q_heads;
  const bool is_value = head >= p.num_q_heads + num_kv_heads;
  if (!is_value) {
    x = Normed(x, device::Load4Bf16((is_query ? p.q_norm : p.k_norm) + column), p.eps);
    const float2* angles = p.angles + row * kHalf + column % kHalf;
    const bool upper = lane >= 16;
    x = {Turned(x.x, angles[0], upper), Turned(x.y, angles[1], upper),
         Turned(x.z, angles[2], upper), Turned(x.w, angles[3], upper)};
  }
  if (is_query) {
    device::Store4Bf16(p.q + (int64_t{row} * p.num_q_heads + head) * kHeadDim + column, x);
    return;
  }
  const int slot = p.slots[row];
  __nv_bfloat16* pages = is_value ? p.pages.values : p.pages.keys;
  device::Store4Bf16(pages + p.pages.Offset(slot / kPageSlots, kv_head, slot % kPageSlots) + column,
                     x);
}

// One warp a row's head: queries first, then keys, then values.
__global__ void __launch_bounds__(32 * kWarps) HeadNormRopeKernel(HeadNormRope p) {
  const int head = static_cast<int>(blockIdx.x) * kWarps + static_cast<int>(threadIdx.x) / 32;
  if (head >= p.num_q_heads + 2 * p.pages.num_kv_heads) return;
  for (int row = static_cast<int>(blockIdx.y); row < p.qkv.rows;
       row += static_cast<int>(gridDim.y)) {
    DoHead(p, row, head);
  }
}

}  // namespace

LaunchResult RunRopeAngles(const RopeAngles& angles, cudaStream_t stream) {
  if (angles.rows == 0) return {};
  return AfterLaunch(device::Launch(RopeAnglesKernel, static_cast<unsigned>(angles.rows), kHalf, 0,
                                    stream, angles),
                     "RoPE angles");
}

LaunchResult RunHeadNormRope(const HeadNormRope& params, cudaStream_t stream) {
  const int heads = params.num_q_heads + 2 * params.pages.num_kv_heads;
  if (params.qkv.outputs != heads * kHeadDim) {
    return InvalidArguments("head norm and RoPE: qkv does not have the heads' width");
  }
  if (params.qkv.rows == 0) return {};
  constexpr int kMaxRows = 65535;  // of a grid
  const dim3 grid(static_cast<unsigned>((heads + kWarps - 1) / kWarps),
                  static_cast<unsigned>(params.qkv.rows < kMaxRows ? params.qkv.rows : kMaxRows));
  return AfterLaunch(device::Launch(HeadNormRopeKernel, grid, 32 * kWarps, 0, stream, params),
                     "head norm and RoPE");
}

}  // namespace sluice::kernels::rope
