// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "kernels/awq/gated.cuh"
#include "kernels/awq/medium_linear.h"
#include "kernels/awq/widen.cuh"
#include "kernels/device/alu.cuh"
#include "kernels/device/bulk_copy.cuh"
#include "kernels/device/launch.cuh"
#include "kernels/device/register_share.cuh"
#include "kernels/device/ring_place.cuh"
#include "kernels/device/tensor_map.cuh"
#include "kernels/device/transfer_barrier.cuh"
#include "kernels/device/wgmma.cuh"

namespace sluice::kernels::awq {
namespace {

// Two warpgroups compute 128 outputs each; a thread of each warp of a third one copies.
constexpr int kComputeGroups = 2;
constexpr int kComputeThreads = kComputeGroups * device::kWarpgroupThreads;
constexpr int kComputeWarps = kComputeThreads / 32;
constexpr int kCopyWarps = device::kWarpgroupThreads / 32;
constexpr int kThreads = kComputeThreads + device::kWarpgroupThreads;
// 65,536 registers: 168 for each thread at first.
constexpr int kCopyRegisters = 24, kComputeRegisters = 240;

constexpr int kBlockTiles = kComputeWarps;  // of 32 outputs, a record each: a warp's own
constexpr int kBlockOutputs = kBlockTiles * kTileOutputs;
constexpr int kHalves = 2;  // of a record: with three other warps', the 64 outputs of a product
constexpr int kChunks = 2;  // of a group: 64 inputs, a row of 128 bytes of x
constexpr int kSteps = 4;   // of a chunk: 16 inputs, a product
static_assert(kGroupInputs == kChunks * device::kBoxColumns);

constexpr int kMaxBlockRows = 128;
constexpr int kMaxSharedBytes = 227 * 1024;  // of one block on sm_90
constexpr int kMaxStages = 8;
// Of a block, whose weights are on their way before the kernels in front have ended: 70 KB. What
// those load queues behind weights: with 1, 2 and all that the ring holds, a step of 8 rows was 6,
// 3 and 1 % longer on an H100.
constexpr int kUnitsBeforeWait = 4;

// A gated plan leaves tiles whole though blocks then have unequal work where the one with most to
// do has less than this more of it: less than writing and reading fp32 pieces takes in prefill.
constexpr int kMaxLossPercent = 5;

struct Barriers {
  device::TransferBarrier full[kMaxStages], free[kMaxStages];
};

// One unit's weights and activations, as they lie in shared memory: [chunk][row of x], then
// records. The barriers lie behind the ring of stages.
template <int kRows>
struct Stage {
  static constexpr int kChunkBytes = kRows * device::kSwizzleRowBytes;
  static constexpr int kRecords = kChunks * kChunkBytes;  // where they begin
  static constexpr int kCopiedBytes = kRecords + kBlockTiles * kTileBytes;
  static constexpr int kPeriod = device::kSwizzlePeriodBytes;
  static constexpr int kBytes = (kCopiedBytes + kPeriod - 1) / kPeriod * kPeriod;
  static constexpr int kInRing =
      std::min(kMaxStages, (kMaxSharedBytes - static_cast<int>(sizeof(Barriers))) / kBytes);
  static constexpr int kSharedBytes = kInRing * kBytes + static_cast<int>(sizeof(Barriers));
  static_assert(kInRing >= 3 && kChunkBytes % kPeriod == 0);
};

struct Parameters {
  MediumLinear linear;
  device::TensorMap x;
  int row_blocks;
};

// A block's part of the work.
struct Work {
  int block;  // of the plan
  int first_row;
  SplitUnit first;
  int num_units;

  __device__ Work(const Parameters& p, int rows) {
    const SplitPlan& plan = p.linear.plan;
    block = static_cast<int>(blockIdx.x) / p.row_blocks;
    first_row = static_cast<int>(blockIdx.x) % p.row_blocks * rows;
    const int unit = block * plan.units_per_block;
    first = plan.UnitAt(unit);
    num_units = min(plan.units_per_block, plan.units_per_slice() - unit);
  }
};

// Copies a warp's part of the block's units, one after the other: two records each, and the first
// warp the activations. The first units' weights are on their way before the kernels in front have
// ended. Records beyond the last tile are the last one's, whose sums nobody writes. Rows of x
// beyond the last are zero.
template <int kRows>
__device__ void CopyUnits(const Parameters& p, const Work& work, int warp, uint8_t* ring,
                          Barriers& barriers) {
  using Ring = Stage<kRows>;
  const PackedAwq& weight = p.linear.weight;
  const auto* tiles = static_cast<const uint8_t*>(weight.tiles);
  constexpr int kRecords = kBlockTiles / kCopyWarps;
  const auto copy_weights = [&](SplitUnit unit, int stage) {
    device::TransferBarrier& full = barriers.full[stage];
    if (warp == 0) full.ArriveAndExpect(Ring::kCopiedBytes);
#pragma unroll
    for (int i = 0; i < kRecords; ++i) {
      const int record = warp * kRecords + i;
      const int tile = min(unit.tile * kBlockTiles + record, weight.num_tiles() - 1);
      device::CopyBulkOnce(ring + stage * Ring::kBytes + Ring::kRecords + record * kTileBytes,
                           tiles + (int64_t{tile} * weight.groups() + unit.group) * kTileBytes,
                           kTileBytes, full);
    }
  };
  const auto copy_rows = [&](SplitUnit unit, int stage) {
    if (warp != 0) return;
#pragma unroll
    for (int chunk = 0; chunk < kChunks; ++chunk) {
      device::CopyBox(p.x, work.first_row, unit.group * kGroupInputs + chunk * device::kBoxColumns,
                      ring + stage * Ring::kBytes + chunk * Ring::kChunkBytes,
                      barriers.full[stage]);
    }
  };
  const int groups = p.linear.plan.groups_per_slice;
  const int at_once = min(work.num_units, Ring::kInRing);
  const int early = min(at_once, kUnitsBeforeWait);
  SplitUnit unit = work.first;
  for (int i = 0; i < early; ++i) {
    copy_weights(unit, i);
    unit.Advance(groups);
  }
  device::WaitForPrevious();
  unit = work.first;
  for (int i = 0; i < at_once; ++i) {
    if (i >= early) copy_weights(unit, i);
    copy_rows(unit, i);
    unit.Advance(groups);
  }
  device::RingPlace<Ring::kInRing> place;
  for (int i = at_once; i < work.num_units; ++i) {
    barriers.free[place.stage].Wait(place.parity);
    copy_weights(unit, place.stage);
    copy_rows(unit, place.stage);
    place.Next();
    unit.Advance(groups);
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

// Brings the sums of one half to a group's scale and widens its weights.
template <int kRows>
__device__ void Prepare(const uint8_t* record, ScaleType scale_type, int half, int lane,
                        Sums<kRows>& sums, Widened (&widened)[kChunks]) {
  const HalfScales scales(record, scale_type, half, lane);
  float ratio[2];
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    const float scale = Divisor(scales.scale[i]);
    ratio[i] = sums.scale[half][i] * device::FastReciprocal(scale);
    sums.scale[half][i] = scale;
  }
#pragma unroll
  for (int i = 0; i < kRows / 2; ++i) sums.value[half][i] *= ratio[i / 2 % 2];
#pragma unroll
  for (int chunk = 0; chunk < kChunks; ++chunk) {
    const uint4 packed =
        reinterpret_cast<const uint4*>(record)[(half * kChunks + chunk) * 32 + lane];
    Widened& a = widened[chunk];
    Widen(packed.x, scales.zeros, a[0]);
    Widen(packed.y, scales.zeros, a[1]);
    Widen(packed.z, scales.zeros, a[2]);
    Widen(packed.w, scales.zeros, a[3]);
  }
}

// Hands what a lane has of each of its rows, four neighbouring outputs, to store(place, values).
// to: its place in the first of them. rows_left: from that row on.
template <int kRows, typename T, typename Store>
__device__ void StoreRows(const Sums<kRows>& sums, T* to, int64_t row_stride, int rows_left,
                          Store store) {
#pragma unroll
  for (int i = 0; i < kRows / 2; i += 4) {  // eight tokens
#pragma unroll
    for (int token = 0; token < 2; ++token) {
      if (token >= rows_left) continue;
      store(to + token * row_stride, float4{sums.value[0][i + token] * sums.scale[0][0],
                                            sums.value[0][i + 2 + token] * sums.scale[0][1],
                                            sums.value[1][i + token] * sums.scale[1][0],
                                            sums.value[1][i + 2 + token] * sums.scale[1][1]});
    }
    to += 8 * row_stride;
    rows_left -= 8;
  }
}

// Leaves what a warp has of a tile of the plan: 32 of its outputs.
template <int kRows>
__device__ void WriteSums(const MediumLinear& linear, const Work& work, int plan_tile, int warp,
                          int lane, const Sums<kRows>& sums) {
  const int tile = plan_tile * kBlockTiles + warp;
  if (tile >= linear.weight.num_tiles()) return;
  const int64_t outputs = linear.weight.outputs;
  const int own_row = work.first_row + 2 * (lane % 4);
  const int own_output = tile * kTileOutputs + FirstOutput(lane / 4, 0);
  const int rows_left = linear.rows - own_row;
  if (linear.gated != nullptr) {
    const int64_t width = outputs / 2;
    StoreRows(sums, linear.gated + own_row * width + own_output / 2, width, rows_left,
              [](__nv_bfloat16* to, float4 in_turns) {
                *reinterpret_cast<__nv_bfloat162*>(to) = __floats2bfloat162_rn(
                    Gated(in_turns.x, in_turns.y), Gated(in_turns.z, in_turns.w));
              });
    return;
  }
  float* piece = linear.partials +
                 int64_t{linear.plan.Piece(0, work.block, plan_tile)} * linear.rows * outputs;
  StoreRows(sums, piece + own_row * outputs + own_output, outputs, rows_left,
            [](float* to, float4 values) { *reinterpret_cast<float4*>(to) = values; });
}

// Multiplies the block's units. Of the two warpgroups one's products run while the other brings its
// sums to the next scale and widens the next weights; nothing makes them take turns, but one has to
// wait where both would multiply.
template <int kRows>
__device__ void MultiplyUnits(const Parameters& p, const Work& work, const uint8_t* ring,
                              Barriers& barriers) {
  using Ring = Stage<kRows>;
  const MediumLinear& linear = p.linear;
  const SplitPlan& plan = linear.plan;
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  device::RingPlace<Ring::kInRing> place;
  SplitUnit unit = work.first;
  Sums<kRows> sums;
  Widened a[kHalves][kChunks];
  for (int i = 0; i < work.num_units;) {
    sums.Clear();
    const int end = min(work.num_units, i + plan.groups_per_slice - unit.group);  // of this tile
#pragma unroll 1
    for (; i < end; ++i) {
      const uint8_t* stage = ring + place.stage * Ring::kBytes;
      const device::SharedMatrix x = device::KMajorMatrix(stage);
      barriers.full[place.stage].Wait(place.parity);
#pragma unroll
      for (int half = 0; half < kHalves; ++half) {
        Prepare(stage + Ring::kRecords + warp * kTileBytes, linear.weight.scale_type, half, lane,
                sums, a[half]);
      }
      device::FenceProducts(sums.value, a[0][0], a[0][1], a[1][0], a[1][1]);
#pragma unroll
      for (int chunk = 0; chunk < kChunks; ++chunk) {
#pragma unroll
        for (int step = 0; step < kSteps; ++step) {
#pragma unroll
          for (int half = 0; half < kHalves; ++half) {
            device::Product<kRows>(sums.value[half], a[half][chunk][step],
                                   x.Advance(chunk * Ring::kChunkBytes + 32 * step), true);
          }
        }
      }
      device::CommitProducts();
      device::WaitProducts<0>(sums.value, a[0][0], a[0][1], a[1][0], a[1][1]);
      barriers.free[place.stage].Arrive();  // each lane for its own reads
      place.Next();
    }
    WriteSums(linear, work, unit.tile, warp, lane, sums);
    unit = {unit.tile + 1, 0};
  }
}

// The blocks of different rows and the same units are neighbours, so that their weights are read
// from memory once and found in L2 by the others.
template <int kRows>
__global__ void __launch_bounds__(kThreads, 1)
    MediumLinearKernel(const __grid_constant__ Parameters p) {
  using Ring = Stage<kRows>;
  device::LetNextStart();
  uint8_t* const ring = device::DynamicShared();
  auto& barriers = *reinterpret_cast<Barriers*>(ring + Ring::kInRing * Ring::kBytes);
  if (threadIdx.x == 0) {
    for (int stage = 0; stage < Ring::kInRing; ++stage) {
      barriers.full[stage].SetUp(1);
      barriers.free[stage].SetUp(kComputeThreads);
    }
    device::PublishBarriers();
  }
  __syncthreads();
  const Work work(p, kRows);
  // By a shuffle, so that the compiler sees that warps do not diverge at it.
  const int group =
      __shfl_sync(0xffffffffu, static_cast<int>(threadIdx.x) / device::kWarpgroupThreads, 0);
  if (group == kComputeGroups) {
    device::GiveRegisters<kCopyRegisters>();
    if (threadIdx.x % 32 == 0) {
      const int warp = static_cast<int>(threadIdx.x) / 32 - kComputeWarps;
      CopyUnits<kRows>(p, work, warp, ring, barriers);
    } else {
      device::WaitForPrevious();
    }
  } else {
    device::TakeRegisters<kComputeRegisters>();
    device::WaitForPrevious();  // whose kernels may still read what sums are written over
    MultiplyUnits<kRows>(p, work, ring, barriers);
  }
}

int RowBlocks(int rows) { return (rows + kMaxBlockRows - 1) / kMaxBlockRows; }

template <int kRows>
LaunchResult Launch(const MediumLinear& linear, cudaStream_t stream) {
  constexpr size_t kSharedBytes = Stage<kRows>::kSharedBytes;
  Parameters parameters = {linear, {}, RowBlocks(linear.rows)};
  cudaError_t error =
      device::MakeTensorMap(linear.x, linear.rows, linear.weight.inputs, kRows, &parameters.x);
  if (error != cudaSuccess) return {.error = error, .problem = "AWQ medium linear's tensor map"};
  error = device::AllowSharedBytes(MediumLinearKernel<kRows>, kSharedBytes);
  if (error != cudaSuccess) return {.error = error, .problem = "cudaFuncSetAttribute"};
  const auto blocks = static_cast<unsigned>(linear.plan.blocks_per_slice * parameters.row_blocks);
  return AfterLaunch(device::LaunchChained(MediumLinearKernel<kRows>, blocks, kThreads,
                                           kSharedBytes, stream, parameters),
                     "AWQ medium linear");
}

}  // namespace

SplitPlan PlanMediumLinear(int outputs, int inputs, int rows, int num_sms) {
  return MakeSplitPlan(outputs, inputs, 1, std::max(1, num_sms / RowBlocks(rows)), kBlockOutputs);
}

std::optional<SplitPlan> PlanGatedLinear(int outputs, int inputs, int rows, int num_sms) {
  const SplitPlan even = PlanMediumLinear(outputs, inputs, rows, num_sms);
  const SplitPlan whole = WithWholeTiles(even);
  const int loss = whole.units_per_block - even.units_per_block;  // of the block with most to do
  if (loss == 0) return whole;
  // One block of rows has little to write beside the weights that it reads.
  if (RowBlocks(rows) == 1 || 100 * loss >= kMaxLossPercent * even.units_per_block) {
    return std::nullopt;
  }
  return whole;
}

LaunchResult RunMediumLinear(const MediumLinear& linear, cudaStream_t stream) {
  const PackedAwq& weight = linear.weight;
  if (linear.rows < 1 || linear.rows > kMaxMediumRows) {
    return InvalidArguments("AWQ medium linear: 1 to 2,048 rows");
  }
  if (weight.outputs % kTileOutputs != 0 || weight.inputs % kGroupInputs != 0 ||
      linear.plan.tile_outputs != kBlockOutputs || linear.plan.slices != 1 ||
      linear.plan.num_tiles != (weight.outputs + kBlockOutputs - 1) / kBlockOutputs ||
      linear.plan.groups_per_slice != weight.groups()) {
    return InvalidArguments("AWQ medium linear: the plan is not for this weight");
  }
  if ((linear.partials == nullptr) == (linear.gated == nullptr)) {
    return InvalidArguments("AWQ medium linear: either partials or gated");
  }
  if (linear.gated != nullptr && linear.plan.splits_tiles()) {
    return InvalidArguments("AWQ medium linear: sums of a part of the inputs cannot be gated");
  }
  const int row_blocks = RowBlocks(linear.rows);
  const int block_rows = (linear.rows + row_blocks - 1) / row_blocks;
  if (block_rows <= 24) return Launch<24>(linear, stream);
  if (block_rows <= 32) return Launch<32>(linear, stream);
  if (block_rows <= 48) return Launch<48>(linear, stream);
  if (block_rows <= 64) return Launch<64>(linear, stream);
  if (block_rows <= 96) return Launch<96>(linear, stream);
  return Launch<128>(linear, stream);
}

}  // namespace sluice::kernels::awq
