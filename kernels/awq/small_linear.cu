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

// Enqueues the block's copies of kRows rows of x, num_inputs from first_input on; rows that do not
// exist become zero.
template <int kRows>
__device__ void CopyRows(const SmallLinear& linear, int first_input, int num_inputs,
                         __nv_bfloat16* shared, int row_stride) {
  const int vectors = num_inputs / 8;  // of 16 bytes
  const int row_step = kThreads / vectors, vector_step = kThreads % vectors;
  int row = static_cast<int>(threadIdx.x) / vectors;
  int vector = static_cast<int>(threadIdx.x) % vectors;
  while (row < kRows) {
    const bool exists = row < linear.rows;
    const int64_t from =
        int64_t{exists ? row : 0} * linear.weight.inputs + first_input + 8 * vector;
    device::CopyAsync16OrZero(shared + row * row_stride + 8 * vector, linear.x + from, exists);
    row += row_step;
    vector += vector_step;
    if (vector >= vectors) {
      vector -= vectors;
      ++row;
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
  const int warp =
      warp_of_block * plan.blocks_per_slice + static_cast<int>(blockIdx.x) % plan.blocks_per_slice;
  const int first_unit = warp * plan.units_per_warp;
  const int num_units = min(plan.units_per_warp, plan.units_per_slice() - first_unit);
  uint8_t* ring = shared + warp_of_block * kStages * kTileBytes;
  const auto* tiles = static_cast<const uint8_t*>(linear.weight.tiles);
  const int groups = plan.slices * plan.groups_per_slice;
  SplitUnit unit = plan.UnitAt(first_unit), ahead = unit;
  // The unit `ahead`, if there is one, into a stage of the ring.
  const auto copy_ahead = [&](int i, int stage) {
    if (i >= num_units) return;
    const int64_t record =
        int64_t{ahead.tile} * groups + slice * plan.groups_per_slice + ahead.group;
    CopyRecord(ring + stage * kTileBytes, tiles + record * kTileBytes, lane);
    ahead.Advance(plan.groups_per_slice);
  };

  // Everything is on its way before anything is waited for: the activations with the first unit.
  copy_ahead(0, 0);
  auto* x = reinterpret_cast<__nv_bfloat16*>(shared + kRingBytes);
  const int slice_inputs = plan.groups_per_slice * kGroupInputs;
  const int row_stride = slice_inputs + kRowPadding;
  CopyRows<kTokenTiles * kTokens>(linear, slice * slice_inputs, slice_inputs, x, row_stride);
  device::CommitCopies();
#pragma unroll
  for (int i = 1; i < kStages - 1; ++i) {
    copy_ahead(i, i);
    device::CommitCopies();
  }
  device::WaitCopies<kStages - 2>();
  __syncthreads();

  const __nv_bfloat16* own_x = x + lane / 4 * row_stride + lane % 4 * 16;
  Sums<kTokenTiles> sums;
  sums.Clear();
  for (int i = 0; i < num_units; ++i) {
    // The stage that is filled was read in the round before, by all lanes of this warp.
    __syncwarp();
    copy_ahead(i + kStages - 1, (i + kStages - 1) % kStages);
    device::CommitCopies();
    device::WaitCopies<kStages - 1>();
    __syncwarp();
    AddTile<kTokenTiles>(ring + i % kStages * kTileBytes, linear.weight.scale_type,
                         own_x + unit.group * kGroupInputs, row_stride, lane, sums);
    if (unit.group == plan.groups_per_slice - 1 || i == num_units - 1) {
      WritePiece<kTokenTiles>(linear, slice, warp, unit.tile, lane, sums);
      sums.Clear();
    }
    unit.Advance(plan.groups_per_slice);
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
