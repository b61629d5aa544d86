// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "kernels/awq/small_linear.h"
#include "kernels/awq/widen.cuh"
#include "kernels/device/async_copy.cuh"
#include "kernels/device/bulk_copy.cuh"
#include "kernels/device/launch.cuh"
#include "kernels/device/mma.cuh"
#include "kernels/device/ring_place.cuh"

namespace sluice::kernels::awq {
namespace {

constexpr int kWarps = 16;
constexpr int kThreads = 32 * kWarps;
// Records of a warp in shared memory or on their way there. Three keep two of them, 70 KB, on their
// way to a multiprocessor while the kernel before this one runs, and at any time. With two, or four
// of which two are asked for as early, a step of one row is as long within 1 % on an H100; with
// none before the wait it is 5 % longer, with three 2 % (what kernels between linears load queues
// behind weights, it seems).
constexpr int kStages = 3;
constexpr int kRingBytes = kWarps * kStages * kTileBytes;
constexpr int kBarrierBytes = kWarps * kStages * sizeof(device::TransferBarrier);
// Of x. With half of it, and so twice the pieces, a step of 16 rows was 15 % longer on an H100.
constexpr int kMaxBytesOfX = 90 * 1024;
constexpr int kTokens = 8;  // of one instruction
// Between rows of x in shared memory: 16 bytes of 8 neighbouring rows, as a matrix is loaded, then
// fall into different banks.
constexpr int kRowPadding = 8;

// What a warp has of a tile in shared memory: [token][kPartStride]. The padding sends what
// neighbouring lanes have of different tokens to different banks.
constexpr int kPartStride = kTileOutputs + 1;
template <int kTokenTiles>
constexpr int kPartFloats = kTokenTiles * kTokens * kPartStride;
template <int kTokenTiles>
constexpr int kBytesBeforeX = kRingBytes + kBarrierBytes +
                              kWarps * kPartFloats<kTokenTiles> * static_cast<int>(sizeof(float));
// A ring holds a part, too.
constexpr int kRingFloats = kStages * kTileBytes / static_cast<int>(sizeof(float));
static_assert(kPartFloats<2> <= kRingFloats);
static_assert(kBytesBeforeX<1> % 16 == 0 && kBytesBeforeX<2> % 16 == 0);
static_assert(kBytesBeforeX<2> + kMaxBytesOfX <= 227 * 1024, "what a block may have on sm_90");

// More than 8 rows have room for 16.
int BytesOfX(int slice_inputs, int rows) {
  const int room = rows <= kTokens ? rows : 2 * kTokens;
  return room * (slice_inputs + kRowPadding) * static_cast<int>(sizeof(__nv_bfloat16));
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
    const uint4 packed[2] = {words[chunk * 32 + lane], words[(2 + chunk) * 32 + lane]};
#pragma unroll
    for (int pair = 0; pair < 2; ++pair) {  // of steps: 32 inputs
      uint32_t tokens_of[kTokenTiles][4];
#pragma unroll
      for (int tokens = 0; tokens < kTokenTiles; ++tokens) {
        device::LoadMatrix4(tokens_of[tokens],
                            x + tokens * kTokens * row_stride + 64 * chunk + 32 * pair);
      }
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const uint4& word = packed[half];
        const uint32_t steps[2] = {pair == 0 ? word.x : word.z, pair == 0 ? word.y : word.w};
#pragma unroll
        for (int step = 0; step < 2; ++step) {
          uint32_t a[4];
          Widen(steps[step], scales.zeros[half], a);
#pragma unroll
          for (int tokens = 0; tokens < kTokenTiles; ++tokens) {
            const uint32_t b[2] = {tokens_of[tokens][2 * step], tokens_of[tokens][2 * step + 1]};
            device::Mma16x8x16(group.value[half][tokens], a, b);
          }
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

// Hands a warp's sums of a tile, by token and output of the tile, to `take`.
template <int kTokenTiles, typename Take>
__device__ void ForEachSum(const Sums<kTokenTiles>& sums, int lane, Take take) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
#pragma unroll
    for (int tokens = 0; tokens < kTokenTiles; ++tokens) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        take(tokens * kTokens + 2 * (lane % 4) + i % 2, FirstOutput(lane / 4, half) + i / 2,
             sums.value[half][tokens][i]);
      }
    }
  }
}

// A block's units, of one slice. Each of its warps takes the next per_warp of them.
struct BlockRun {
  int begin, end, per_warp;

  __device__ BlockRun(const SplitPlan& plan, int block)
      : begin(block * plan.units_per_block),
        end(min(begin + plan.units_per_block, plan.units_per_slice())),
        per_warp((plan.units_per_block + kWarps - 1) / kWarps) {}

  __device__ int WarpBegin(int warp) const { return min(begin + warp * per_warp, end); }
};

// The block's piece of a tile: [rows][outputs], at the tile's first output.
__device__ float* PieceOf(const SmallLinear& linear, int slice, int block, int tile) {
  return linear.partials +
         int64_t{linear.plan.Piece(slice, block, tile)} * linear.rows * linear.weight.outputs +
         tile * kTileOutputs;
}

// What several warps have of a tile lies in shared memory, a part for each warp: in `first` what it
// has of the tile it began in, in `last` of the one it ended in, if that is another. Adds up each
// tile in the order of warps; a warp takes a token of a tile, a lane an output. Tiles within a
// single warp's units are written already.
template <int kTokenTiles>
__device__ void AddParts(const SmallLinear& linear, int slice, int block, const BlockRun& run,
                         const float* first, const float* last) {
  const int groups = linear.plan.groups_per_slice;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  int tile = run.begin / groups, token = static_cast<int>(threadIdx.x) / 32;
  while (true) {
    while (token >= linear.rows) {
      token -= linear.rows;
      ++tile;
    }
    if (tile * groups >= run.end) return;
    const int first_warp = (max(tile * groups, run.begin) - run.begin) / run.per_warp;
    const int last_warp = (min((tile + 1) * groups, run.end) - 1 - run.begin) / run.per_warp;
    const bool began = run.WarpBegin(first_warp) / groups == tile;
    const bool ended = (run.WarpBegin(first_warp + 1) - 1) / groups == tile;
    if (began || ended) {
      const int place = token * kPartStride + lane;
      float sum = began ? first[first_warp * kPartFloats<kTokenTiles> + place]
                        : last[first_warp * kRingFloats + place];
      for (int warp = first_warp + 1; warp <= last_warp; ++warp) {
        sum += first[warp * kPartFloats<kTokenTiles> + place];
      }
      PieceOf(linear, slice, block, tile)[int64_t{token} * linear.weight.outputs + lane] = sum;
    }
    token += kWarps;
  }
}

// Enqueues the block's copies of x, num_inputs of each row from first_input on.
__device__ void CopyRows(const SmallLinear& linear, int first_input, int num_inputs,
                         __nv_bfloat16* shared, int row_stride) {
  const int vectors = num_inputs / 8;  // of 16 bytes
  const int row_step = kThreads / vectors, vector_step = kThreads % vectors;
  int row = static_cast<int>(threadIdx.x) / vectors;
  int vector = static_cast<int>(threadIdx.x) % vectors;
  while (row < linear.rows) {
    const int64_t from = int64_t{row} * linear.weight.inputs + first_input + 8 * vector;
    device::CopyAsync16(shared + row * row_stride + 8 * vector, linear.x + from);
    row += row_step;
    vector += vector_step;
    if (vector >= vectors) {
      vector -= vectors;
      ++row;
    }
  }
}

// Shared memory: a ring for each warp, a barrier for each of its stages, each warp's part of the
// tile it begins in, x.
template <int kTokenTiles>
__global__ void __launch_bounds__(kThreads, 1) SmallLinearKernel(SmallLinear linear) {
  device::LetNextStart();
  uint8_t* const shared = device::DynamicShared();
  const SplitPlan& plan = linear.plan;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int slice = static_cast<int>(blockIdx.x) / plan.blocks_per_slice;
  const int block = static_cast<int>(blockIdx.x) % plan.blocks_per_slice;
  const BlockRun run(plan, block);
  const int first_unit = run.WarpBegin(warp);
  const int num_units = run.WarpBegin(warp + 1) - first_unit;
  uint8_t* ring = shared + warp * kStages * kTileBytes;
  const int slice_inputs = plan.groups_per_slice * kGroupInputs;
  const int row_stride = slice_inputs + kRowPadding;
  auto* arrived = reinterpret_cast<device::TransferBarrier*>(shared + kRingBytes) + warp * kStages;
  auto* first = reinterpret_cast<float*>(shared + kRingBytes + kBarrierBytes);
  auto* x = reinterpret_cast<__nv_bfloat16*>(shared + kBytesBeforeX<kTokenTiles>);
  const auto* tiles = static_cast<const uint8_t*>(linear.weight.tiles);
  const int groups = plan.slices * plan.groups_per_slice;
  SplitUnit unit = plan.UnitAt(first_unit);
  const uint8_t* record =
      tiles +
      (int64_t{unit.tile} * groups + slice * plan.groups_per_slice + unit.group) * kTileBytes;
  const int to_next_tile = (groups - plan.groups_per_slice) * kTileBytes;  // over other slices
  int group_ahead = unit.group;
  // By one lane: the next unit that has not been asked for into a stage of the ring.
  const auto copy_ahead = [&](int stage) {
    arrived[stage].ArriveAndExpect(kTileBytes);
    device::CopyBulkOnce(ring + stage * kTileBytes, record, kTileBytes, arrived[stage]);
    record += kTileBytes;
    if (++group_ahead < plan.groups_per_slice) return;
    group_ahead = 0;
    record += to_next_tile;
  };

  // Weights are on their way before anything is waited for; then the activations, which the kernel
  // before this one writes.
  if (lane == 0) {
    for (int i = 0; i < kStages; ++i) arrived[i].SetUp(1);
    device::PublishBarriers();
    for (int i = 0; i < min(kStages - 1, num_units); ++i) copy_ahead(i);
  }
  device::WaitForPrevious();
  CopyRows(linear, slice * slice_inputs, slice_inputs, x, row_stride);
  device::CommitCopies();
  device::WaitCopies<0>();
  __syncthreads();

  // As LoadMatrix4 wants. Tokens beyond the last are another one or anything; their sums are not
  // written.
  const int own_row = kTokenTiles > 1 ? lane % 8 : min(lane % 8, linear.rows - 1);
  const __nv_bfloat16* own_x = x + own_row * row_stride + lane / 8 * 8;
  const int first_tile = unit.tile;
  Sums<kTokenTiles> sums;
  sums.Clear();
  float* own_first = first + warp * kPartFloats<kTokenTiles>;
  const auto keep = [&](float* part, const Sums<kTokenTiles>& of_tile) {
    ForEachSum(of_tile, lane, [&](int token, int output, float sum) {
      if (token < linear.rows) part[token * kPartStride + output] = sum;
    });
  };
  device::RingPlace<kStages> place;
  for (int i = 0; i < num_units; ++i) {
    // The stage that is filled was read in the round before, by all lanes of this warp.
    __syncwarp();
    if (lane == 0 && i + kStages - 1 < num_units) {
      copy_ahead(place.stage == 0 ? kStages - 1 : place.stage - 1);
    }
    arrived[place.stage].Wait(place.parity);
    AddTile<kTokenTiles>(ring + place.stage * kTileBytes, linear.weight.scale_type,
                         own_x + unit.group * kGroupInputs, row_stride, lane, sums);
    if (i == num_units - 1) break;
    place.Next();
    if (unit.group == plan.groups_per_slice - 1) {
      if (unit.tile == first_tile) {
        keep(own_first, sums);
      } else {
        float* piece = PieceOf(linear, slice, block, unit.tile);
        ForEachSum(sums, lane, [&](int token, int output, float sum) {
          if (token < linear.rows) piece[token * linear.weight.outputs + output] = sum;
        });
      }
      sums.Clear();
    }
    unit.Advance(plan.groups_per_slice);
  }

  // In the warp's own ring, which nothing is on its way to any more.
  __syncwarp();
  if (num_units > 0) {
    keep(unit.tile == first_tile ? own_first : reinterpret_cast<float*>(ring), sums);
  }
  __syncthreads();
  AddParts<kTokenTiles>(linear, slice, block, run, first, reinterpret_cast<const float*>(shared));
}

template <int kTokenTiles>
LaunchResult Launch(const SmallLinear& linear, cudaStream_t stream) {
  const int slice_inputs = linear.plan.groups_per_slice * kGroupInputs;
  const int bytes_of_x = BytesOfX(slice_inputs, linear.rows);
  if (bytes_of_x > kMaxBytesOfX) {
    return InvalidArguments("AWQ small linear: the plan's slices are too long for shared memory");
  }
  const auto shared_bytes = static_cast<size_t>(kBytesBeforeX<kTokenTiles> + bytes_of_x);
  constexpr auto kMostBytes = static_cast<size_t>(kBytesBeforeX<kTokenTiles> + kMaxBytesOfX);
  const cudaError_t error = device::AllowSharedBytes(SmallLinearKernel<kTokenTiles>, kMostBytes);
  if (error != cudaSuccess) return {.error = error, .problem = "cudaFuncSetAttribute"};
  const auto blocks = static_cast<unsigned>(linear.plan.slices * linear.plan.blocks_per_slice);
  return AfterLaunch(device::LaunchChained(SmallLinearKernel<kTokenTiles>, blocks, kThreads,
                                           shared_bytes, stream, linear),
                     "AWQ small linear");
}

}  // namespace

SplitPlan PlanSmallLinear(int outputs, int inputs, int rows, int num_sms) {
  const int groups = inputs / kGroupInputs;
  int slices = 1;
  while (slices < groups &&
         (groups % slices != 0 || BytesOfX(inputs / slices, rows) > kMaxBytesOfX)) {
    ++slices;
  }
  return MakeSplitPlan(outputs, inputs, slices, num_sms, kTileOutputs);
}

LaunchResult RunSmallLinear(const SmallLinear& linear, cudaStream_t stream) {
  const PackedAwq& weight = linear.weight;
  if (linear.rows < 1 || linear.rows > kMaxSmallRows) {
    return InvalidArguments("AWQ small linear: 1 to 16 rows");
  }
  if (weight.outputs % kTileOutputs != 0 || weight.inputs % kGroupInputs != 0 ||
      linear.plan.tile_outputs != kTileOutputs || linear.plan.num_tiles != weight.num_tiles() ||
      linear.plan.slices * linear.plan.groups_per_slice != weight.groups()) {
    return InvalidArguments("AWQ small linear: the plan is not for this weight");
  }
  return linear.rows <= kTokens ? Launch<1>(linear, stream) : Launch<2>(linear, stream);
}

}  // namespace sluice::kernels::awq
