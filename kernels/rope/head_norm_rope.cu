// SPDX-License-Identifier: Apache-2.0
#include "kernels/awq/linear_output.cuh"
#include "kernels/device/bf16.cuh"
#include "kernels/device/float4.cuh"
#include "kernels/device/launch.cuh"
#include "kernels/device/reduce.cuh"
#include "kernels/rope/head_norm_rope.h"

namespace sluice::kernels::rope {
namespace {

using attention::kHeadDim;
using attention::kPageSlots;

constexpr int kHalf = kHeadDim / 2;
// A block is there before a small linear's ends: registers for four warps are left beside it.
constexpr int kWarps = 4;
static_assert(kHeadDim == 4 * device::kWarpSize, "a lane holds four neighbouring values of a head");

__global__ void RopeAnglesKernel(RopeAngles angles) {
  device::BeginChained();
  const int row = static_cast<int>(blockIdx.x), i = static_cast<int>(threadIdx.x);
  // Not the fast intrinsics: angles reach the longest position.
  const float angle = static_cast<float>(angles.positions[row]) * angles.inv_freq[i];
  angles.out[row * kHalf + i] = {cosf(angle) * angles.attention_factor,
                                 sinf(angle) * angles.attention_factor};
}

__device__ float4 Normed(float4 x, float4 weight, float eps) {
  const float squares = device::WarpSum(device::SumOfSquares(x));
  const float factor = rsqrtf(squares / kHeadDim + eps);
  return device::Product(weight, device::Scaled(x, factor));
}

// The lower half of the head is in lanes 0 .. 15, the upper one in 16 .. 31.
__device__ float Turned(float own, float2 angle, bool upper) {
  const float other = __shfl_xor_sync(0xffffffffu, own, 16);
  return upper ? own * angle.x + other * angle.y : own * angle.x - other * angle.y;
}

// A warp's head, in every row that is its block's.
struct Head {
  int number;  // queries first, then keys, then values
  bool is_query, is_value;
  int kv_head;
  int column;     // of the lane's four values within the head
  float4 weight;  // of the norm, for queries and keys

  __device__ Head(const HeadNormRope& p, int head)
      : number(head),
        is_query(head < p.num_q_heads),
        is_value(head >= p.num_q_heads + p.pages.num_kv_heads),
        kv_head((head - p.num_q_heads) % p.pages.num_kv_heads),
        column(4 * (static_cast<int>(threadIdx.x) % 32)),
        weight(is_value ? float4{} : device::LoadConstant4Bf16(norm(p) + column)) {}

  __device__ const __nv_bfloat16* norm(const HeadNormRope& p) const {
    return is_query ? p.q_norm : p.k_norm;
  }
};

template <bool kScaled>
__device__ void DoRow(const HeadNormRope& p, const Head& head,
                      const awq::OutputColumns<1, kScaled>& columns, int row) {
  // Asked for before anything is waited for.
  const auto* angles =
      reinterpret_cast<const float4*>(p.angles + row * kHalf + head.column % kHalf);
  float4 low = {}, high = {};  // two angles each
  if (!head.is_value) {
    low = angles[0];
    high = angles[1];
  }
  const int slot = head.is_query ? 0 : p.slots[row];
  float4 loaded[1];
  columns.Load(row, loaded);
  float4 x = loaded[0];
  if (!head.is_value) {
    x = Normed(x, head.weight, p.eps);
    const bool upper = head.column >= kHalf;
    x = {Turned(x.x, {low.x, low.y}, upper), Turned(x.y, {low.z, low.w}, upper),
         Turned(x.z, {high.x, high.y}, upper), Turned(x.w, {high.z, high.w}, upper)};
  }
  __nv_bfloat16* to;
  if (head.is_query) {
    to = p.q + (int64_t{row} * p.num_q_heads + head.number) * kHeadDim;
  } else {
    to = (head.is_value ? p.pages.values : p.pages.keys) +
         p.pages.Offset(slot / kPageSlots, head.kv_head, slot % kPageSlots);
  }
  device::Store4Bf16(to + head.column, x);
}

// One warp a row's head. The bound leaves registers enough to have all pieces under way together.
template <bool kScaled>
__global__ void __launch_bounds__(32 * kWarps, 1) HeadNormRopeKernel(HeadNormRope p) {
  device::LetNextStart();
  const int heads = p.num_q_heads + 2 * p.pages.num_kv_heads;
  const int own = static_cast<int>(blockIdx.x) * kWarps + static_cast<int>(threadIdx.x) / 32;
  const Head head(p, min(own, heads - 1));
  const awq::OutputColumns<1, kScaled> columns(p.qkv, {head.number * kHeadDim + head.column});
  device::WaitForPrevious();
  if (own >= heads) return;
  for (int row = static_cast<int>(blockIdx.y); row < p.qkv.rows;
       row += static_cast<int>(gridDim.y)) {
    DoRow(p, head, columns, row);
  }
}

}  // namespace

LaunchResult RunRopeAngles(const RopeAngles& angles, cudaStream_t stream) {
  if (angles.rows == 0) return {};
  return AfterLaunch(device::LaunchChained(RopeAnglesKernel, static_cast<unsigned>(angles.rows),
                                           kHalf, 0, stream, angles),
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
  const bool scaled = params.qkv.row_scale.squares != nullptr;
  return AfterLaunch(
      device::LaunchChained(scaled ? HeadNormRopeKernel<true> : HeadNormRopeKernel<false>, grid,
                            32 * kWarps, 0, stream, params),
      "head norm and RoPE");
}

}  // namespace sluice::kernels::rope
