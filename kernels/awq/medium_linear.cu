// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "kernels/awq/copy_record.cuh"
#include "kernels/awq/medium_linear.h"
#include "kernels/awq/widen.cuh"
#include "kernels/device/alu.cuh"
#include "kernels/device/async_copy.cuh"
#include "kernels/device/launch.cuh"
#include "kernels/device/wgmma.cuh"

namespace sluice::kernels::awq {
namespace {

constexpr int kWarps = 8;
constexpr int kThreads = 32 * kWarps;
constexpr int kBlockTiles = kWarps;  // of 32 outputs, a record each: a warp's own
constexpr int kBlockOutputs = kBlockTiles * kTileOutputs;
constexpr int kHalves = 2;  // of a record: with three other warps', the 64 outputs of a product
constexpr int kChunks = 2;  // of a group: 64 inputs, a row of 128 bytes of x
constexpr int kSteps = 4;   // of a chunk: 16 inputs, a product

constexpr int kMaxBlockRows = 128;
constexpr int kMaxSharedBytes = 227 * 1024;  // of one block on sm_90

// One unit's weights and activations, as they lie in shared memory: [chunk][row of x], then
// records.
template <int kRows>
struct Stage {
  static constexpr int kChunkBytes = kRows * device::kSwizzleRowBytes;
  static constexpr int kRecords = kChunks * kChunkBytes;  // where they begin
  static constexpr int kPeriod = device::kSwizzlePeriodBytes;
  static constexpr int kBytes =
      (kRecords + kBlockTiles * kTileBytes + kPeriod - 1) / kPeriod * kPeriod;
  // One is multiplied with, the one before still may be, the others are on their way.
  static constexpr int kInRing = std::min(8, kMaxSharedBytes / kBytes);
  static constexpr int kAhead = kInRing - 2;
  static_assert(kAhead >= 2 && kChunkBytes % kPeriod == 0);
};

// Enqueues the copies of a unit's weights. Records beyond the last tile are the last one's, whose
// sums nobody writes.
template <int kRows>
__device__ void CopyWeights(const PackedAwq& weight, SplitUnit unit, uint8_t* stage) {
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  const int tile = min(unit.tile * kBlockTiles + warp, weight.num_tiles() - 1);
  CopyRecord(stage + Stage<kRows>::kRecords + warp * kTileBytes,
             static_cast<const uint8_t*>(weight.tiles) +
                 (int64_t{tile} * weight.groups() + unit.group) * kTileBytes,
             lane);
}

// The same of its activations. Rows of x beyond the last are zero.
template <int kRows>
__device__ void CopyRows(const MediumLinear& linear, int first_row, int group, uint8_t* stage) {
  constexpr int kVectors = kGroupInputs / 8;  // of 16 bytes in a row
  constexpr int kRowStep = kThreads / kVectors;
  static_assert(kRows % kRowStep == 0 && kRowStep % 8 == 0);
  const int row = static_cast<int>(threadIdx.x) / kVectors;
  const int vector = static_cast<int>(threadIdx.x) % kVectors;
  uint8_t* to =
      stage + vector / 8 * Stage<kRows>::kChunkBytes + device::SwizzledOffset(row, vector % 8);
  const __nv_bfloat16* from = linear.x + int64_t{first_row + row} * linear.weight.inputs +
                              group * kGroupInputs + 8 * vector;
#pragma unroll
  for (int i = 0; i < kRows / kRowStep; ++i) {
    const bool exists = first_row + row + i * kRowStep < linear.rows;
    device::CopyAsync16OrZero(to + i * kRowStep * device::kSwizzleRowBytes,
                              exists ? from : linear.x, exists);
    from += kRowStep * linear.weight.inputs;
  }
}

// What a thread has summed of its warp's outputs, in units of the scale of the group it was in
// last: value * scale is the sum. So there is one set of accumulators, and no scale is rounded into
// a weight.
template <int kRows>
struct Sums {
  float value[kHalves][kRows / 2];
  float scale[kHalves][2];  // [half][FirstOutput, the next]

  __device__ void Clear() {
#pragma unroll
    for (int half = 0; half < kHalves; ++half) {
#pragma unroll
      for (int i = 0; i < kRows / 2; ++i) value[half][i] = 0.0f;
      scale[half][0] = scale[half][1] = 1.0f;
    }
  }
};

// A group's scale is divided by. One of zero, or as small as no checkpoint's, counts as 2^-60: what
// it adds vanishes beside any other group's, and the quotient stays finite.
__device__ inline float Divisor(float scale) { return fabsf(scale) < 0x1p-60f ? 0x1p-60f : scale; }

// A thread's widened weights of one half and chunk.
using Widened = uint32_t[kSteps][4];

// Issues the products of one unit. The halves of a record take turns: while one's products run, the
// other's weights are widened. On return the last ones may still be under way, and the next unit
// waits for them before it scales the sums: the compiler would else wait for each product, since it
// does not follow them around a loop.
template <int kRows>
__device__ void AddUnit(const uint8_t* stage, int warp, int lane, ScaleType scale_type,
                        Sums<kRows>& sums, Widened (&widened)[kHalves]) {
  const uint8_t* record = stage + Stage<kRows>::kRecords + warp * kTileBytes;
  const auto* words = reinterpret_cast<const uint4*>(record) + lane;
  const TileScales scales(record, scale_type, lane);
  const device::SharedMatrix x = device::KMajorMatrix(stage);
#pragma unroll
  for (int chunk = 0; chunk < kChunks; ++chunk) {
#pragma unroll
    for (int half = 0; half < kHalves; ++half) {
      const uint4 packed = words[(half * kChunks + chunk) * 32];
      float(&value)[kRows / 2] = sums.value[half];
      Widened& a = widened[half];
      Widen(packed.x, scales.zeros[half], a[0]);
      Widen(packed.y, scales.zeros[half], a[1]);
      Widen(packed.z, scales.zeros[half], a[2]);
      Widen(packed.w, scales.zeros[half], a[3]);
      if (chunk == 0) {
        if (half == 0) device::WaitProducts<0>(sums.value[0], sums.value[1]);
        float ratio[2];
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          const float scale = Divisor(scales.scale[half][i]);
          ratio[i] = sums.scale[half][i] * device::FastReciprocal(scale);
          sums.scale[half][i] = scale;
        }
#pragma unroll
        for (int i = 0; i < kRows / 2; ++i) value[i] *= ratio[i / 2 % 2];
      }
      device::FenceProducts(value, a[0], a[1], a[2], a[3]);
#pragma unroll
      for (int step = 0; step < kSteps; ++step) {
        device::Product<kRows>(value, a[step],
                               x.Advance(chunk * Stage<kRows>::kChunkBytes + 32 * step), true);
      }
      device::CommitProducts();
      Widened& other = widened[1 - half];
      device::WaitProducts<1>(sums.value[1 - half], other[0], other[1], other[2], other[3]);
    }
  }
}

// piece: [rows][outputs]. tile: of 32 outputs, the warp's.
template <int kRows>
__device__ void WritePiece(const MediumLinear& linear, float* piece, int first_row, int tile,
                           int lane, const Sums<kRows>& sums) {
  if (tile >= linear.weight.num_tiles()) return;
  const int outputs = linear.weight.outputs;
  const int own_row = first_row + 2 * (lane % 4);
  piece += int64_t{own_row} * outputs + tile * kTileOutputs + FirstOutput(lane / 4, 0);
#pragma unroll
  for (int i = 0; i < kRows / 2; i += 4) {  // eight tokens
#pragma unroll
    for (int token = 0; token < 2; ++token) {
      if (own_row + 2 * i + token >= linear.rows) continue;
      *reinterpret_cast<float4*>(piece + int64_t{2 * i + token} * outputs) = {
          sums.value[0][i + token] * sums.scale[0][0],
          sums.value[0][i + 2 + token] * sums.scale[0][1],
          sums.value[1][i + token] * sums.scale[1][0],
          sums.value[1][i + 2 + token] * sums.scale[1][1]};
    }
  }
}

// The blocks of different rows and the same units are neighbours, so that their weights are read
// from memory once and found in L2 by the others.
template <int kRows>
__global__ void __launch_bounds__(kThreads, 1)
    MediumLinearKernel(MediumLinear linear, int row_blocks) {
  using Ring = Stage<kRows>;
  uint8_t* ring = device::DynamicShared();
  const SplitPlan& plan = linear.plan;
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  const int block = static_cast<int>(blockIdx.x) / row_blocks;
  const int first_row = static_cast<int>(blockIdx.x) % row_blocks * kRows;
  const int groups = plan.groups_per_slice;
  const int first_unit = block * plan.units_per_block;
  const int num_units = min(plan.units_per_block, plan.units_per_slice() - first_unit);

  SplitUnit unit = plan.UnitAt(first_unit), ahead = unit;
#pragma unroll
  for (int i = 0; i < Ring::kAhead; ++i) {
    if (i < num_units) {
      CopyWeights<kRows>(linear.weight, ahead, ring + i * Ring::kBytes);
      CopyRows<kRows>(linear, first_row, ahead.group, ring + i * Ring::kBytes);
      ahead.Advance(groups);
    }
    device::CommitCopies();
  }

  Sums<kRows> sums;
  Widened widened[kHalves];
  int stage = 0;  // of the ring
  for (int i = 0; i < num_units;) {
    sums.Clear();
    const int end = min(num_units, i + groups - unit.group);  // of this tile
#pragma unroll 1
    for (; i < end; ++i) {
      device::WaitCopies<Ring::kAhead - 1>();
      device::FenceAsyncProxy();
      // All have what they copied, and their products with the stage before the last have ended:
      // it is filled again.
      __syncthreads();
      if (i + Ring::kAhead < num_units) {
        const int next = stage + Ring::kAhead - (stage < 2 ? 0 : Ring::kInRing);
        CopyWeights<kRows>(linear.weight, ahead, ring + next * Ring::kBytes);
        CopyRows<kRows>(linear, first_row, ahead.group, ring + next * Ring::kBytes);
        ahead.Advance(groups);
      }
      device::CommitCopies();
      AddUnit<kRows>(ring + stage * Ring::kBytes, warp, lane, linear.weight.scale_type, sums,
                     widened);
      if (++stage == Ring::kInRing) stage = 0;
    }
    device::WaitProducts<0>(sums.value[0], sums.value[1]);
    float* piece = linear.partials +
                   int64_t{plan.Piece(0, block, unit.tile)} * linear.rows * linear.weight.outputs;
    WritePiece(linear, piece, first_row, unit.tile * kBlockTiles + warp, lane, sums);
    unit = {unit.tile + 1, 0};
  }
}

int RowBlocks(int rows) { return (rows + kMaxBlockRows - 1) / kMaxBlockRows; }

template <int kRows>
LaunchResult Launch(const MediumLinear& linear, cudaStream_t stream) {
  constexpr size_t kSharedBytes = size_t{Stage<kRows>::kInRing} * Stage<kRows>::kBytes;
  const cudaError_t error = device::AllowSharedBytes(MediumLinearKernel<kRows>, kSharedBytes);
  if (error != cudaSuccess) return {.error = error, .problem = "cudaFuncSetAttribute"};
  const int row_blocks = RowBlocks(linear.rows);
  const auto blocks = static_cast<unsigned>(linear.plan.blocks_per_slice * row_blocks);
  return AfterLaunch(device::Launch(MediumLinearKernel<kRows>, blocks, kThreads, kSharedBytes,
                                    stream, linear, row_blocks),
                     "AWQ medium linear");
}

}  // namespace

SplitPlan PlanMediumLinear(int outputs, int inputs, int rows, int num_sms) {
  return MakeSplitPlan(outputs, inputs, 1, std::max(1, num_sms / RowBlocks(rows)), kBlockOutputs);
}

LaunchResult RunMediumLinear(const MediumLinear& linear, cudaStream_t stream) {
  const PackedAwq& weight = linear.weight;
  if (linear.rows < 1 || linear.rows > kMaxMediumRows) {
    return InvalidArguments("AWQ medium linear: 1 to 256 rows");
  }
  if (weight.outputs % kTileOutputs != 0 || weight.inputs % kGroupInputs != 0 ||
      linear.plan.tile_outputs != kBlockOutputs || linear.plan.slices != 1 ||
      linear.plan.num_tiles != (weight.outputs + kBlockOutputs - 1) / kBlockOutputs ||
      linear.plan.groups_per_slice != weight.groups()) {
    return InvalidArguments("AWQ medium linear: the plan is not for this weight");
  }
  const int row_blocks = RowBlocks(linear.rows);
  const int block_rows = (linear.rows + row_blocks - 1) / row_blocks;
  if (block_rows <= 32) return Launch<32>(linear, stream);
  if (block_rows <= 48) return Launch<48>(linear, stream);
  if (block_rows <= 64) return Launch<64>(linear, stream);
  if (block_rows <= 96) return Launch<96>(linear, stream);
  return Launch<128>(linear, stream);
}

}  // namespace sluice::kernels::awq
