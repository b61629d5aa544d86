// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "kernels/awq/copy_record.cuh"
#include "kernels/awq/medium_linear.h"
#include "kernels/awq/widen.cuh"
#include "kernels/device/alu.cuh"
#include "kernels/device/async_copy.cuh"
#include "kernels/device/launch.cuh"
#include "kernels/device/mma.cuh"

namespace sluice::kernels::awq {
namespace {

constexpr int kWarps = 8;
constexpr int kThreads = 32 * kWarps;
constexpr int kBlockTiles = kWarps;  // of 32 outputs, a record each; each warp copies one
constexpr int kBlockOutputs = kBlockTiles * kTileOutputs;

constexpr int kTokens = 8;  // of one instruction
constexpr int kMaxBlockRows = 128;
constexpr int kMaxSharedBytes = 227 * 1024;  // of one block on sm_90
// Of one token's group in shared memory: 16 bytes are left between rows, so that the 16-byte loads
// of 8 lanes, 2 rows by 4 places of 32 bytes, fall into different banks.
constexpr int kRowBytes = kGroupInputs * static_cast<int>(sizeof(__nv_bfloat16)) + 16;

// How a block of kRows rows is shared out. Up to 64 rows a warp has one record and all tokens, so a
// weight is widened once. Beyond, a warp has two records side by side and half of the tokens: each
// weight is widened by two warps, but what a warp loads of x meets twice as many weights, or shared
// memory would be slower than the tensor cores.
template <int kRows>
struct Layout {
  static constexpr int kWarpTiles = kRows <= 64 ? 1 : 2;  // records
  static constexpr int kTokenWarps = kWarpTiles;
  static constexpr int kTokenTiles = kRows / kTokens / kTokenWarps;  // of a warp
  static_assert(kTokenTiles * kTokenWarps * kTokens == kRows);
};

// One unit's weights and activations, as they lie in shared memory: records, then rows of x.
template <int kRows>
struct Stage {
  static constexpr int kRecordBytes = kBlockTiles * kTileBytes;
  static constexpr int kBytes = kRecordBytes + kRows * kRowBytes;
  static constexpr int kInRing = std::min(8, kMaxSharedBytes / kBytes);
  static_assert(kInRing >= 3 && kRecordBytes % 16 == 0);
};

// Enqueues the copies of a unit. Rows of x beyond the last are zero; records beyond the last tile
// are the last one's, whose sums nobody writes.
template <int kRows>
__device__ void CopyUnit(const MediumLinear& linear, int first_row, SplitUnit unit,
                         uint8_t* stage) {
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, warp = thread / 32;
  const PackedAwq& weight = linear.weight;
  const int tile = min(unit.tile * kBlockTiles + warp, weight.num_tiles() - 1);
  CopyRecord(stage + warp * kTileBytes,
             static_cast<const uint8_t*>(weight.tiles) +
                 (int64_t{tile} * weight.groups() + unit.group) * kTileBytes,
             lane);
  constexpr int kVectors = kGroupInputs / 8;  // of 16 bytes in a row
  constexpr int kRowStep = kThreads / kVectors;
  static_assert(kRows % kRowStep == 0);
  const int row = thread / kVectors, vector = thread % kVectors;
  uint8_t* to = stage + Stage<kRows>::kRecordBytes + row * kRowBytes + 16 * vector;
  const __nv_bfloat16* from =
      linear.x + int64_t{first_row + row} * weight.inputs + unit.group * kGroupInputs + 8 * vector;
#pragma unroll
  for (int i = 0; i < kRows / kRowStep; ++i) {
    const bool exists = first_row + row + i * kRowStep < linear.rows;
    device::CopyAsync16OrZero(to + i * kRowStep * kRowBytes, exists ? from : linear.x, exists);
    from += kRowStep * weight.inputs;
  }
}

// What a warp has summed of its outputs and tokens, in units of the scale of the group it was in
// last: value * scale is the sum. So there is one set of accumulators, and no scale is rounded into
// a weight.
template <int kWarpTiles, int kTokenTiles>
struct Sums {
  float value[kWarpTiles][2][kTokenTiles][4];  // [record][half of its outputs]
  float scale[kWarpTiles][2][2];               // [record][half][FirstOutput, the next]

  __device__ void Clear() {
#pragma unroll
    for (int record = 0; record < kWarpTiles; ++record) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
#pragma unroll
        for (int tokens = 0; tokens < kTokenTiles; ++tokens) {
#pragma unroll
          for (int i = 0; i < 4; ++i) value[record][half][tokens][i] = 0.0f;
        }
        scale[record][half][0] = scale[record][half][1] = 1.0f;
      }
    }
  }
};

// A group's scale is divided by. One of zero, or as small as no checkpoint's, counts as 2^-60: what
// it adds vanishes beside any other group's, and the quotient stays finite.
__device__ inline float Divisor(float scale) { return fabsf(scale) < 0x1p-60f ? 0x1p-60f : scale; }

// Adds one unit to a warp's sums. records: its first record; x: this lane's place in its first row.
template <int kWarpTiles, int kTokenTiles>
__device__ void AddUnit(const uint8_t* records, ScaleType scale_type, const uint8_t* x, int lane,
                        Sums<kWarpTiles, kTokenTiles>& sums) {
  float ratio[kWarpTiles][2][2];
  WideZeros zeros[kWarpTiles][2];
#pragma unroll
  for (int record = 0; record < kWarpTiles; ++record) {
    const TileScales scales(records + record * kTileBytes, scale_type, lane);
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      zeros[record][half] = scales.zeros[half];
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const float scale = Divisor(scales.scale[half][i]);
        ratio[record][half][i] = sums.scale[record][half][i] * device::FastReciprocal(scale);
        sums.scale[record][half][i] = scale;
      }
    }
  }
#pragma unroll
  for (int chunk = 0; chunk < 2; ++chunk) {
    uint4 packed[kWarpTiles][2];
#pragma unroll
    for (int record = 0; record < kWarpTiles; ++record) {
      const auto* words = reinterpret_cast<const uint4*>(records + record * kTileBytes);
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        packed[record][half] = words[(half * 2 + chunk) * 32 + lane];
      }
    }
#pragma unroll
    for (int pair = 0; pair < 2; ++pair) {  // of steps: 32 inputs
      uint32_t tokens_of[kTokenTiles][4];
#pragma unroll
      for (int tokens = 0; tokens < kTokenTiles; ++tokens) {
        device::LoadMatrix4(tokens_of[tokens],
                            x + tokens * kTokens * kRowBytes + 128 * chunk + 64 * pair);
      }
#pragma unroll
      for (int record = 0; record < kWarpTiles; ++record) {
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          const uint4& word = packed[record][half];
          const uint32_t steps[2] = {pair == 0 ? word.x : word.z, pair == 0 ? word.y : word.w};
#pragma unroll
          for (int step = 0; step < 2; ++step) {
            uint32_t a[4];
            Widen(steps[step], zeros[record][half], a);
#pragma unroll
            for (int tokens = 0; tokens < kTokenTiles; ++tokens) {
              float(&value)[4] = sums.value[record][half][tokens];
              if (chunk == 0 && pair == 0 && step == 0) {
#pragma unroll
                for (int i = 0; i < 4; ++i) value[i] *= ratio[record][half][i / 2];
              }
              const uint32_t b[2] = {tokens_of[tokens][2 * step], tokens_of[tokens][2 * step + 1]};
              device::Mma16x8x16(value, a, b);
            }
          }
        }
      }
    }
  }
}

// piece: [rows][outputs]. first_row, first_tile (of 32 outputs): the warp's.
template <int kWarpTiles, int kTokenTiles>
__device__ void WritePiece(const MediumLinear& linear, float* piece, int first_row, int first_tile,
                           int lane, const Sums<kWarpTiles, kTokenTiles>& sums) {
#pragma unroll
  for (int record = 0; record < kWarpTiles; ++record) {
    if (first_tile + record >= linear.weight.num_tiles()) return;
    const int first_output = (first_tile + record) * kTileOutputs;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
#pragma unroll
      for (int tokens = 0; tokens < kTokenTiles; ++tokens) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const int row = first_row + tokens * kTokens + 2 * (lane % 4) + i % 2;
          if (row < linear.rows) {
            piece[int64_t{row} * linear.weight.outputs + first_output +
                  FirstOutput(lane / 4, half) + i / 2] =
                sums.value[record][half][tokens][i] * sums.scale[record][half][i / 2];
          }
        }
      }
    }
  }
}

// The blocks of different rows and the same units are neighbours, so that their weights are read
// from memory once and found in L2 by the others.
template <int kRows>
__global__ void __launch_bounds__(kThreads, 1)
    MediumLinearKernel(MediumLinear linear, int row_blocks) {
  using Ring = Stage<kRows>;
  constexpr int kStages = Ring::kInRing;
  uint8_t* ring = device::DynamicShared();
  const SplitPlan& plan = linear.plan;
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  constexpr int kWarpTiles = Layout<kRows>::kWarpTiles, kTokenWarps = Layout<kRows>::kTokenWarps,
                kTokenTiles = Layout<kRows>::kTokenTiles;
  const int output_warp = warp / kTokenWarps, token_warp = warp % kTokenWarps;
  const int block = static_cast<int>(blockIdx.x) / row_blocks;
  const int first_row = static_cast<int>(blockIdx.x) % row_blocks * kRows;
  const int groups = plan.groups_per_slice;
  const int first_unit = block * plan.units_per_block;
  const int num_units = min(plan.units_per_block, plan.units_per_slice() - first_unit);

  SplitUnit unit = plan.UnitAt(first_unit), ahead = unit;
#pragma unroll
  for (int i = 0; i < kStages - 1; ++i) {
    if (i < num_units) {
      CopyUnit<kRows>(linear, first_row, ahead, ring + i * Ring::kBytes);
      ahead.Advance(groups);
    }
    device::CommitCopies();
  }

  const int own_row = token_warp * kTokenTiles * kTokens;
  const int own_x = Ring::kRecordBytes + (own_row + lane % 8) * kRowBytes + lane / 8 * 16;
  for (int i = 0; i < num_units;) {
    Sums<kWarpTiles, kTokenTiles> sums;
    sums.Clear();
    const int end = min(num_units, i + groups - unit.group);  // of this tile
#pragma unroll 1
    for (; i < end; ++i) {
      device::WaitCopies<kStages - 2>();
      // All have what they copied, and are done with the stage before, which is filled again.
      __syncthreads();
      if (i + kStages - 1 < num_units) {
        CopyUnit<kRows>(linear, first_row, ahead,
                        ring + (i + kStages - 1) % kStages * Ring::kBytes);
        ahead.Advance(groups);
      }
      device::CommitCopies();
      const uint8_t* stage = ring + i % kStages * Ring::kBytes;
      AddUnit(stage + output_warp * kWarpTiles * kTileBytes, linear.weight.scale_type,
              stage + own_x, lane, sums);
    }
    float* piece = linear.partials +
                   int64_t{plan.Piece(0, block, unit.tile)} * linear.rows * linear.weight.outputs;
    WritePiece(linear, piece, first_row + own_row,
               unit.tile * kBlockTiles + output_warp * kWarpTiles, lane, sums);
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
