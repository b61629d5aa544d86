// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "kernels/awq/copy_record.cuh"
#include "kernels/awq/small_linear.h"
#include "kernels/awq/widen.cuh"
#include "kernels/device/async_copy.cuh"
#include "kernels/device/launch.cuh"
#include "kernels/device/mma.cuh"

namespace sluice::kernels::awq {
namespace {

constexpr int kWarps = 16;
constexpr int kThreads = 32 * kWarps;
constexpr int kStages = 4;
constexpr int kRingBytes = kWarps * kStages * kTileBytes;
constexpr int kMaxSharedBytes = 227 * 1024;  // of one block on sm_90
constexpr int kTokens = 8;                   // of one instruction
// Between rows of x in shared memory: the 16-byte loads of 8 lanes, 2 rows by 4 places of 32 bytes,
// then fall into different banks.
constexpr int kRowPadding = 8;

int SharedBytes(int slice_inputs, int rows) {
  const int padded_rows = (rows + kTokens - 1) / kTokens * kTokens;
  return kRingBytes +
         padded_rows * (slice_inputs + kRowPadding) * static_cast<int>(sizeof(__nv_bfloat16));
}

// kTokenTiles: rows of x in eights.
template <int kTokenTiles>
struct Sums {
  float value[2][kTokenTiles][4];  // [half of the tile's outputs]

  __device__ void Clear() {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
#pragma unroll
      for (int tokens = 0; tokens < kTokenTiles; ++tokens) {
#pragma unroll
        for (int i = 0; i < 4; ++i) value[half][tokens][i] = 0.0f;
      }
    }
  }
};

// Adds one tile's group to sums. x: this lane's place in the slice's activations, at the group.
template <int kTokenTiles>
__device__ void AddTile(const uint8_t* record, ScaleType scale_type, const __nv_bfloat16* x,
                        int row_stride, int lane, Sums<kTokenTiles>& sums) {
  Sums<kTokenTiles> group;
  group.Clear();
  const auto* words = reinterpret_cast<const uint4*>(record);
  const TileScales scales(record, scale_type, lane);
#pragma unroll
  for (int chunk = 0; chunk < 2; ++chunk) {
    uint4 tokens_of[kTokenTiles][2];
#pragma unroll
    for (int tokens = 0; tokens < kTokenTiles; ++tokens) {
      const auto* row =
          reinterpret_cast<const uint4*>(x + tokens * kTokens * row_stride + 64 * chunk);
      tokens_of[tokens][0] = row[0];
      tokens_of[tokens][1] = row[1];
    }
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const uint4 packed = words[(half * 2 + chunk) * 32 + lane];
      const uint32_t steps[4] = {packed.x, packed.y, packed.z, packed.w};
#pragma unroll
      for (int step = 0; step < 4; ++step) {
        uint32_t a[4];
        Widen(steps[step], scales.zeros[half], a);
#pragma unroll
        for (int tokens = 0; tokens < kTokenTiles; ++tokens) {
          const uint4& pair = tokens_of[tokens][step / 2];
          const uint32_t b[2] = {step % 2 == 0 ? pair.x : pair.z, step % 2 == 0 ? pair.y : pair.w};
          device::Mma16x8x16(group.value[half][tokens], a, b);
        }
      }
    }
  }
#pragma unroll
  for (int half = 0; half < 2; ++half) {
#pragma unroll
    for (int tokens = 0; tokens < kTokenTiles; ++tokens) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        sums.value[half][tokens][i] = fmaf(group.value[half][tokens][i], scales.scale[half][i / 2],
                                           sums.value[half][tokens][i]);
      }
    }
  }
}

template <int kTokenTiles>
__device__ void WritePiece(const SmallLinear& linear, int slice, int warp, int tile, int lane,
                           const Sums<kTokenTiles>& sums) {
  const SplitPlan& plan = linear.plan;
  const int piece = warp - plan.FirstWarp(tile);
  const int64_t outputs = linear.weight.outputs;
  float* out = linear.partials + int64_t{slice * plan.max_pieces + piece} * linear.rows * outputs;
  const int first_output = tile * kTileOutputs + lane / 4;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
#pragma unroll
    for (int tokens = 0; tokens < kTokenTiles; ++tokens) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int row = tokens * kTokens + 2 * (lane % 4) + i % 2;
        if (row < linear.rows) {
          out[row * outputs + first_output + 16 * half + 8 * (i / 2)] = sums.value[half][tokens][i];
        }
      }
    }
  }
}

template <int kTokenTiles>
__global__ void __launch_bounds__(kThreads, 1) SmallLinearKernel(SmallLinear linear) {
  uint8_t* const shared = device::DynamicShared();
  const SplitPlan& plan = linear.plan;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int warp_of_block = static_cast<int>(threadIdx.x) / 32;
  const int slice = static_cast<int>(blockIdx.x) / plan.blocks_per_slice;
  const int warp = static_cast<int>(blockIdx.x) % plan.blocks_per_slice * kWarps + warp_of_block;
  const int first_unit = warp * plan.units_per_warp;
  const int end_unit = min(first_unit + plan.units_per_warp, plan.units_per_slice());
  uint8_t* ring = shared + warp_of_block * kStages * kTileBytes;

  // Weights first: they depend on nothing, and the activations then arrive behind them.
  const auto* tiles = static_cast<const uint8_t*>(linear.weight.tiles);
  const int groups = plan.slices * plan.groups_per_slice;
  const auto tile_at = [&](int unit) {
    const int tile = unit / plan.groups_per_slice, group = unit % plan.groups_per_slice;
    return tiles + (int64_t{tile} * groups + slice * plan.groups_per_slice + group) * kTileBytes;
  };
#pragma unroll
  for (int stage = 0; stage < kStages - 1; ++stage) {
    if (first_unit + stage < end_unit) {
      CopyRecord(ring + stage * kTileBytes, tile_at(first_unit + stage), lane);
    }
    device::CommitCopies();
  }

  auto* x = reinterpret_cast<__nv_bfloat16*>(shared + kRingBytes);
  const int slice_inputs = plan.groups_per_slice * kGroupInputs;
  const int row_stride = slice_inputs + kRowPadding;
  const int vectors = slice_inputs / 8;
  for (int i = static_cast<int>(threadIdx.x); i < kTokenTiles * kTokens * vectors; i += kThreads) {
    const int row = i / vectors, column = i % vectors * 8;
    uint4 value = {0, 0, 0, 0};
    if (row < linear.rows) {
      value = *reinterpret_cast<const uint4*>(linear.x + int64_t{row} * linear.weight.inputs +
                                              slice * slice_inputs + column);
    }
    *reinterpret_cast<uint4*>(x + row * row_stride + column) = value;
  }
  __syncthreads();

  const __nv_bfloat16* own_x = x + lane / 4 * row_stride + lane % 4 * 16;
  Sums<kTokenTiles> sums;
  sums.Clear();
  for (int unit = first_unit; unit < end_unit; ++unit) {
    const int ahead = unit + kStages - 1;
    const int stage = (unit - first_unit) % kStages;
    // The stage that `ahead` goes to was read in the round before, by all lanes of this warp.
    __syncwarp();
    if (ahead < end_unit) {
      CopyRecord(ring + (stage + kStages - 1) % kStages * kTileBytes, tile_at(ahead), lane);
    }
    device::CommitCopies();
    device::WaitCopies<kStages - 1>();
    __syncwarp();
    const int group = unit % plan.groups_per_slice;
    AddTile<kTokenTiles>(ring + stage * kTileBytes, linear.weight.scale_type,
                         own_x + group * kGroupInputs, row_stride, lane, sums);
    if (group == plan.groups_per_slice - 1 || unit == end_unit - 1) {
      WritePiece<kTokenTiles>(linear, slice, warp, unit / plan.groups_per_slice, lane, sums);
      sums.Clear();
    }
  }
}

template <int kTokenTiles>
LaunchResult Launch(const SmallLinear& linear, cudaStream_t stream) {
  const int bytes = SharedBytes(linear.plan.groups_per_slice * kGroupInputs, linear.rows);
  if (bytes > kMaxSharedBytes) {
    return InvalidArguments("AWQ small linear: the plan's slices are too long for shared memory");
  }
  const auto shared_bytes = static_cast<size_t>(bytes);
  const cudaError_t error = device::AllowSharedBytes(SmallLinearKernel<kTokenTiles>, shared_bytes);
  if (error != cudaSuccess) return {.error = error, .problem = "cudaFuncSetAttribute"};
  const auto blocks = static_cast<unsigned>(linear.plan.slices * linear.plan.blocks_per_slice);
  return AfterLaunch(device::Launch(SmallLinearKernel<kTokenTiles>, blocks, kThreads, shared_bytes,
                                    stream, linear),
                     "AWQ small linear");
}

}  // namespace

SplitPlan PlanSmallLinear(int outputs, int inputs, int rows, int num_sms) {
  const int groups = inputs / kGroupInputs;
  int slices = 1;
  while (slices < groups &&
         (groups % slices != 0 || SharedBytes(inputs / slices, rows) > kMaxSharedBytes)) {
    ++slices;
  }
  return MakeSplitPlan(outputs, inputs, slices, num_sms, kWarps, kTileOutputs);
}

LaunchResult RunSmallLinear(const SmallLinear& linear, cudaStream_t stream) {
  const PackedAwq& weight = linear.weight;
  if (linear.rows < 1 || linear.rows > kMaxSmallRows) {
    return InvalidArguments("AWQ small linear: 1 to 16 rows");
  }
  if (weight.outputs % kTileOutputs != 0 || weight.inputs % kGroupInputs != 0 ||
      linear.plan.tile_outputs != kTileOutputs || linear.plan.num_tiles != weight.num_tiles() ||
      linear.plan.warps_per_block != kWarps ||
      linear.plan.slices * linear.plan.groups_per_slice != weight.groups()) {
    return InvalidArguments("AWQ small linear: the plan is not for this weight");
  }
  return linear.rows <= kTokens ? Launch<1>(linear, stream) : Launch<2>(linear, stream);
}

}  // namespace sluice::kernels::awq
