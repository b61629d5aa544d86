// SPDX-License-Identifier: Apache-2.0
#include "kernels/attention/decode_attention.h"
#include "kernels/device/arrival.cuh"
#include "kernels/device/async_copy.cuh"
#include "kernels/device/bf16.cuh"
#include "kernels/device/launch.cuh"
#include "kernels/device/mma.cuh"
#include "kernels/device/reduce.cuh"

namespace sluice::kernels::attention {
namespace {

constexpr int kWarps = 8;
constexpr int kThreads = 32 * kWarps;
// The unit that work is counted in: 16 slots of one row and KV head, a stage of a warp's ring.
constexpr int kUnitSlots = 16;
static_assert(kPageSlots % kUnitSlots == 0);
constexpr int kStages = 3;
constexpr int kRowBytes = kHeadDim * 2;
constexpr int kMatrixBytes = kUnitSlots * kRowBytes;
constexpr int kStageBytes = 2 * kMatrixBytes;
constexpr int kRingBytes = kWarps * kStages * kStageBytes;
// What the warps have of a row and KV head meets in shared memory. Heads lie so that the four that
// a warp writes at a time fall into different banks.
constexpr int kMergeStride = kHeadDim + 4;
struct Merge {
  float out[kWarps][kMaxGroup][kMergeStride];
  float2 sums[kWarps][kMaxGroup];  // maximum, sum
  int last_to_arrive;
};
constexpr int kSharedBytes = kRingBytes + static_cast<int>(sizeof(Merge));
static_assert(kSharedBytes <= 227 * 1024);
constexpr int kKSteps = kHeadDim / 16;
constexpr float kLog2E = 1.4426950408889634f;

__device__ int UnitsOf(int length) { return (length + kUnitSlots - 1) / kUnitSlots; }

// ---- the plan

constexpr int kPlanThreads = 256;
// A piece takes about as long to be added up as so many units to be worked on.
constexpr float kUnitsPerPiece = 1.0f;
// So many units more than the even share (of 0.4 us each) cost less than blocks with the end of one
// row and the beginning of another.
constexpr int kAlignUnits = 3;

// max_units: of the longest row.
__device__ int UnitsPerBlock(int total, int max_units, int num_blocks) {
  if (max_units == 0) return 1;
  // When there are few units, more of them a block and fewer pieces.
  const auto least = static_cast<int>(ceilf(sqrtf(kUnitsPerPiece * static_cast<float>(max_units))));
  const int even = max((total + num_blocks - 1) / num_blocks, least);
  const int pieces = max_units / even;
  const int aligned = pieces > 0 ? (max_units + pieces - 1) / pieces
                                 : (even + max_units - 1) / max_units * max_units;
  return aligned - even <= kAlignUnits ? aligned : even;
}

// One block.
__global__ void __launch_bounds__(kPlanThreads) DecodePlanKernel(DecodePlan plan) {
  __shared__ int scratch[kPlanThreads / device::kWarpSize];
  __shared__ int max_units;
  device::BeginChained();
  const int thread = static_cast<int>(threadIdx.x);
  const DecodeWorkspace& workspace = plan.workspace;
  if (thread == 0) max_units = 0;
  int first = 0;
  for (int begin = 0; begin < plan.rows; begin += kPlanThreads) {
    __syncthreads();  // scratch was read, max_units written
    const int row = begin + thread;
    const int units = row < plan.rows ? UnitsOf(plan.lengths[row]) : 0;
    const device::PrefixSum sum = device::BlockPrefixSum(units, scratch);
    if (row < plan.rows) workspace.first_unit[row] = first + sum.before;
    if (units > 0) atomicMax(&max_units, units);
    first += sum.total;
  }
  if (thread == 0) workspace.first_unit[plan.rows] = first;
  for (int i = thread; i < plan.rows * plan.num_kv_heads; i += kPlanThreads) {
    workspace.arrivals[i] = 0;
  }
  __syncthreads();
  const int total = first * plan.num_kv_heads;
  const int per_block = UnitsPerBlock(total, max_units, plan.num_sms);
  if (thread == 0) *workspace.units_per_block = per_block;
  for (int block = thread; block < plan.num_sms; block += kPlanThreads) {
    const int64_t unit = int64_t{block} * per_block;
    DecodeShare share;
    if (unit < total) {
      share.begin = static_cast<int>(unit);
      share.end = min(share.begin + per_block, total);
      int low = 0, high = plan.rows;  // the unit is in rows low .. high - 1
      while (high - low > 1) {
        const int middle = (low + high) / 2;
        if (workspace.first_unit[middle] * plan.num_kv_heads <= share.begin) {
          low = middle;
        } else {
          high = middle;
        }
      }
      share.row = low;
      share.first_of_row = workspace.first_unit[low] * plan.num_kv_heads;
    }
    workspace.shares[block] = share;
  }
}

// ---- the blocks' shares

// All units of a row for one KV head, in the order of all units.
struct Segment {
  int row, kv_head;
  int begin;             // the number of its first unit
  int units, length;     // of the row
  const int32_t* pages;  // the row's

  __device__ int end() const { return begin + units; }
  __device__ void LoadRow(const DecodeAttention& p) {
    length = p.lengths[row];
    units = UnitsOf(length);
    pages = p.page_tables + int64_t{p.table_rows[row]} * p.max_pages;
  }
  // REQUIRES: there is another unit.
  __device__ void Next(const DecodeAttention& p) {
    begin += units;
    if (++kv_head < p.pages.num_kv_heads) return;
    kv_head = 0;
    do {
      ++row;
      LoadRow(p);
    } while (units == 0);
  }
};

// That of the share's first unit.
__device__ Segment FirstSegment(const DecodeAttention& p, const DecodeShare& share) {
  Segment segment;
  segment.row = share.row;
  segment.LoadRow(p);
  segment.kv_head = (share.begin - share.first_of_row) / segment.units;
  segment.begin = share.first_of_row + segment.kv_head * segment.units;
  return segment;
}

// Where the 16 bytes `vector` of a slot lie in a matrix of a stage: so that the eight slots that
// ldmatrix reads at a time fall into different banks.
__device__ int OffsetInMatrix(int slot, int vector) {
  return slot * kRowBytes + ((vector ^ (slot & 7)) * 16);
}

// A unit of the segment into a stage; slots beyond the row's end become zeros, since what lies
// there was never written or may be anything.
__device__ void CopyUnit(const DecodeAttention& p, const Segment& segment, int unit, uint8_t* stage,
                         int lane) {
  const int first = (unit - segment.begin) * kUnitSlots;
  const int page = segment.pages[first / kPageSlots];
  constexpr int kVectors = kRowBytes / 16;  // of a slot
  const int64_t offset = p.pages.Offset(page, segment.kv_head, first % kPageSlots) + lane * 8;
  const __nv_bfloat16* keys = p.pages.keys + offset;
  const __nv_bfloat16* values = p.pages.values + offset;
#pragma unroll
  for (int i = 0; i < kUnitSlots * kVectors / 32; ++i) {
    const int slot = (32 * i + lane) / kVectors;
    const bool use = first + slot < segment.length;
    uint8_t* to = stage + OffsetInMatrix(slot, lane % kVectors);
    device::CopyAsync16OrZero(to, keys + 32 * i * 8, use);
    device::CopyAsync16OrZero(to + kMatrixBytes, values + 32 * i * 8, use);
  }
}

// The group's queries as B fragments: of head g, dimensions 2t, 2t + 1 and 8 on.
__device__ void LoadQueries(const DecodeAttention& p, const Segment& segment, int lane,
                            uint32_t (&q)[kKSteps][2]) {
  const int group = p.num_q_heads / p.pages.num_kv_heads;
  const int head = lane / 4;
  const auto* from = reinterpret_cast<const uint32_t*>(
      p.q + (int64_t{segment.row} * p.num_q_heads + segment.kv_head * group + head) * kHeadDim);
#pragma unroll
  for (int step = 0; step < kKSteps; ++step) {
    q[step][0] = head < group ? from[step * 8 + lane % 4] : 0u;
    q[step][1] = head < group ? from[step * 8 + 4 + lane % 4] : 0u;
  }
}

// What a lane knows of heads 2t and 2t + 1. Maxima are of scores times scale * log2(e).
struct Softmax {
  float maximum[2] = {-INFINITY, -INFINITY};
  float sum[2] = {0.0f, 0.0f};
  float out[kKSteps][4] = {};  // [dimensions 16 step + g, + 8][head]
};

__device__ float MaxOverSlots(float value) {
#pragma unroll
  for (int offset = 4; offset < 32; offset *= 2) {
    value = fmaxf(value, __shfl_xor_sync(0xffffffffu, value, offset));
  }
  return value;
}

__device__ float SumOverSlots(float value) {
#pragma unroll
  for (int offset = 4; offset < 32; offset *= 2)
    value += __shfl_xor_sync(0xffffffffu, value, offset);
  return value;
}

// num_slots: of the stage's 16, those that count; at least one.
__device__ void AddStage(const uint8_t* stage, int num_slots, const uint32_t (&q)[kKSteps][2],
                         float scale_log2, int lane, Softmax& state) {
  float scores[2][4] = {};  // two sums, so that half as many products wait for each other
#pragma unroll
  for (int step = 0; step < kKSteps; ++step) {
    uint32_t keys[4];
    device::LoadMatrix4(keys,
                        stage + OffsetInMatrix(lane / 8 % 2 * 8 + lane % 8, 2 * step + lane / 16));
    device::Mma16x8x16(scores[step % 2], keys, q[step]);
  }
  float p[4];
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int slot = lane / 4 + i / 2 * 8;
    p[i] = slot < num_slots ? (scores[0][i] + scores[1][i]) * scale_log2 : -INFINITY;
  }
#pragma unroll
  for (int head = 0; head < 2; ++head) {
    const float maximum = fmaxf(state.maximum[head], MaxOverSlots(fmaxf(p[head], p[head + 2])));
    // Slot 0 of every stage counts, so the maximum is finite unless scores are not.
    const float rescale = exp2f(state.maximum[head] - maximum);
    state.maximum[head] = maximum;
    p[head] = exp2f(p[head] - maximum);
    p[head + 2] = exp2f(p[head + 2] - maximum);
    state.sum[head] = state.sum[head] * rescale + SumOverSlots(p[head] + p[head + 2]);
#pragma unroll
    for (int step = 0; step < kKSteps; ++step) {
      state.out[step][head] *= rescale;
      state.out[step][head + 2] *= rescale;
    }
  }
  const uint32_t weights[2] = {device::TransposeMatrix(device::PackBf16(p[0], p[1])),
                               device::TransposeMatrix(device::PackBf16(p[2], p[3]))};
#pragma unroll
  for (int step = 0; step < kKSteps; ++step) {
    uint32_t values[4];
    device::LoadMatrix4Transposed(
        values,
        stage + kMatrixBytes + OffsetInMatrix(lane / 16 * 8 + lane % 8, 2 * step + lane / 8 % 2));
    device::Mma16x8x16(state.out[step], values, weights);
  }
}

// ---- what the warps, and then the blocks, have of a segment

// A warp's.
__device__ void LeaveForMerge(const Softmax& state, int group, int lane, int warp, Merge& merge) {
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    const int head = 2 * (lane % 4) + i;
    if (head >= group) continue;
    float* out = merge.out[warp][head];
#pragma unroll
    for (int step = 0; step < kKSteps; ++step) {
      out[16 * step + lane / 4] = state.out[step][i];
      out[16 * step + lane / 4 + 8] = state.out[step][i + 2];
    }
    if (lane / 4 == 0) merge.sums[warp][head] = {state.maximum[i], state.sum[i]};
  }
}

// A block's piece of a segment. A block has pieces of at most two that others have pieces of, too:
// its first and its last.
struct Piece {
  float* out;    // [kMaxGroup][kHeadDim]
  float2* sums;  // [kMaxGroup]: maximum, sum
};

// begins: the segment begins in the block.
__device__ Piece PieceOf(const DecodeWorkspace& workspace, int block, bool begins) {
  const int64_t place = (2 * int64_t{block} + (begins ? 1 : 0)) * kMaxGroup;
  return {workspace.partial_out + place * kHeadDim, workspace.partial_sums + place};
}

__device__ void AddScaled(const float4& add, float add_sum, float weight, float4* out, float* sum) {
  *sum += add_sum * weight;
  out->x += add.x * weight;
  out->y += add.y * weight;
  out->z += add.z * weight;
  out->w += add.w * weight;
}

// Adds up what warps have left for merging, in their order, once all have: to the piece, or if that
// is null to the output. warps: a bit for each that has. The block calls it; a warp adds up a head.
__device__ void MergeWarps(const DecodeAttention& p, const Segment& segment, unsigned warps,
                           const Merge& merge, const Piece* piece) {
  __syncthreads();
  const int group = p.num_q_heads / p.pages.num_kv_heads;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int head = static_cast<int>(threadIdx.x) / 32;
  static_assert(kMaxGroup <= kWarps && kHeadDim == 4 * 32);
  if (head < group) {
    // All are loaded before any is used.
    float2 sums[kWarps];
    float4 outs[kWarps];
    float maximum = -INFINITY;
#pragma unroll
    for (int warp = 0; warp < kWarps; ++warp) {
      const bool has = (warps >> warp & 1) != 0;
      sums[warp] = has ? merge.sums[warp][head] : float2{-INFINITY, 0.0f};
      outs[warp] = has ? reinterpret_cast<const float4*>(merge.out[warp][head])[lane] : float4{};
      maximum = fmaxf(maximum, sums[warp].x);
    }
    float sum = 0.0f;
    float4 out = {};
#pragma unroll
    for (int warp = 0; warp < kWarps; ++warp) {
      AddScaled(outs[warp], sums[warp].y, exp2f(sums[warp].x - maximum), &out, &sum);
    }
    if (piece == nullptr) {
      const float inverse = 1.0f / sum;
      const int64_t row_head =
          int64_t{segment.row} * p.num_q_heads + segment.kv_head * group + head;
      device::Store4Bf16(p.out + row_head * kHeadDim + 4 * lane,
                         {out.x * inverse, out.y * inverse, out.z * inverse, out.w * inverse});
    } else {
      reinterpret_cast<float4*>(piece->out + head * kHeadDim)[lane] = out;
      if (lane == 0) piece->sums[head] = {maximum, sum};
    }
  }
  __syncthreads();
}

// Adds up the pieces of a segment that all blocks have left, in their order. A warp takes every
// eighth; then they merge as always.
__device__ void CombinePieces(const DecodeAttention& p, const Segment& segment, int first_block,
                              int num_pieces, Merge& merge) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int group = p.num_q_heads / p.pages.num_kv_heads;
  float maximum[kMaxGroup];
#pragma unroll
  for (int head = 0; head < kMaxGroup; ++head) maximum[head] = -INFINITY;
  float4 out[kMaxGroup] = {};  // dimensions 4 lane .. 4 lane + 3
  float sum[kMaxGroup] = {};
  constexpr int kAtOnce = 2;  // pieces that are on their way, from L2 where others have written
#pragma unroll 1
  for (int i = warp; i < num_pieces; i += kAtOnce * kWarps) {
    float2 sums[kAtOnce][kMaxGroup];
    float4 outs[kAtOnce][kMaxGroup];
#pragma unroll
    for (int ahead = 0; ahead < kAtOnce; ++ahead) {
      const int index = i + ahead * kWarps;
      const Piece piece = PieceOf(p.workspace, first_block + index, index == 0);
#pragma unroll
      for (int head = 0; head < kMaxGroup; ++head) {
        const bool has = head < group && index < num_pieces;
        sums[ahead][head] = has ? __ldcg(&piece.sums[head]) : float2{-INFINITY, 0.0f};
        outs[ahead][head] =
            has ? __ldcg(reinterpret_cast<const float4*>(piece.out + head * kHeadDim) + lane)
                : float4{};
      }
    }
#pragma unroll
    for (int head = 0; head < kMaxGroup; ++head) {
      const float before = maximum[head];
#pragma unroll
      for (int ahead = 0; ahead < kAtOnce; ++ahead) {
        maximum[head] = fmaxf(maximum[head], sums[ahead][head].x);
      }
      const float rescale = exp2f(before - maximum[head]);
      sum[head] *= rescale;
      out[head] = {out[head].x * rescale, out[head].y * rescale, out[head].z * rescale,
                   out[head].w * rescale};
#pragma unroll
      for (int ahead = 0; ahead < kAtOnce; ++ahead) {
        AddScaled(outs[ahead][head], sums[ahead][head].y,
                  exp2f(sums[ahead][head].x - maximum[head]), &out[head], &sum[head]);
      }
    }
  }
#pragma unroll
  for (int head = 0; head < kMaxGroup; ++head) {
    if (head >= group) continue;
    reinterpret_cast<float4*>(merge.out[warp][head])[lane] = out[head];
    if (lane == 0) merge.sums[warp][head] = {maximum[head], sum[head]};
  }
  MergeWarps(p, segment, num_pieces >= kWarps ? 0xffu : (1u << num_pieces) - 1, merge, nullptr);
}

// What the warps have left of units begin .. end - 1, of a segment, becomes the output, if need be
// with what other blocks have: the last of them to arrive adds up. The block calls it.
__device__ void Finish(const DecodeAttention& p, const DecodeShare& share, const Segment& segment,
                       int begin, int end, Merge& merge) {
  unsigned warps = 0;
  for (int unit = begin; unit < min(end, begin + kWarps); ++unit) {
    warps |= 1u << (unit - share.begin) % kWarps;
  }
  if (begin == segment.begin && end == segment.end()) {
    MergeWarps(p, segment, warps, merge, nullptr);
    return;
  }
  const int per_block = *p.workspace.units_per_block;
  const int first_block = segment.begin / per_block;
  const int num_pieces = (segment.end() - 1) / per_block - first_block + 1;
  const Piece piece = PieceOf(p.workspace, static_cast<int>(blockIdx.x), begin == segment.begin);
  MergeWarps(p, segment, warps, merge, &piece);
  if (threadIdx.x == 0) {
    int* arrivals = p.workspace.arrivals + segment.row * p.pages.num_kv_heads + segment.kv_head;
    const bool last = device::Arrive(arrivals) == num_pieces - 1;
    if (last) *arrivals = 0;  // for the next layer
    merge.last_to_arrive = last ? 1 : 0;
  }
  __syncthreads();
  if (merge.last_to_arrive != 0) CombinePieces(p, segment, first_block, num_pieces, merge);
  __syncthreads();
}

__global__ void __launch_bounds__(kThreads, 1)
    DecodeAttentionKernel(const __grid_constant__ DecodeAttention p) {
  device::BeginChained();
  uint8_t* const shared = device::DynamicShared();
  Merge& merge = *reinterpret_cast<Merge*>(shared + kRingBytes);
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int warp = static_cast<int>(threadIdx.x) / 32;
  uint8_t* ring = shared + warp * kStages * kStageBytes;
  const DecodeShare share = p.workspace.shares[blockIdx.x];
  if (share.begin >= share.end) return;
  Segment segment = FirstSegment(p, share);
  // The warp's units, every eighth of the block's. Copies run ahead of the computation, across the
  // segments' ends.
  Segment copied_segment = segment;
  int copied = share.begin + warp, copied_stage = 0;
  const auto copy_next = [&] {
    if (copied < share.end) {
      while (copied >= copied_segment.end()) copied_segment.Next(p);
      CopyUnit(p, copied_segment, copied, ring + copied_stage * kStageBytes, lane);
      copied += kWarps;
      copied_stage = copied_stage + 1 == kStages ? 0 : copied_stage + 1;
    }
    device::CommitCopies();
  };
#pragma unroll 1
  for (int i = 0; i < kStages - 1; ++i) copy_next();
  const float scale_log2 = p.scale * kLog2E;
  const int group = p.num_q_heads / p.pages.num_kv_heads;
  int unit = share.begin + warp, stage = 0;
  for (int begin = share.begin;;) {
    const int end = min(segment.end(), share.end);
    uint32_t q[kKSteps][2];
    if (unit < end) LoadQueries(p, segment, lane, q);
    Softmax state;
    const bool any = unit < end;
#pragma unroll 1
    for (; unit < end; unit += kWarps) {
      __syncwarp();
      copy_next();
      device::WaitCopies<kStages - 1>();
      __syncwarp();
      AddStage(ring + stage * kStageBytes, segment.length - (unit - segment.begin) * kUnitSlots, q,
               scale_log2, lane, state);
      stage = stage + 1 == kStages ? 0 : stage + 1;
    }
    if (any) LeaveForMerge(state, group, lane, warp, merge);
    Finish(p, share, segment, begin, end, merge);
    if (end == share.end) break;
    begin = end;
    segment.Next(p);
  }
}

}  // namespace

size_t DivideDecodeWorkspace(void* memory, const DecodeWorkspaceShape& shape,
                             DecodeWorkspace* workspace) {
  size_t used = 0;
  const auto take = [&]<typename T>(T** array, size_t count) {
    if (memory != nullptr) *array = reinterpret_cast<T*>(static_cast<char*>(memory) + used);
    used += (count * sizeof(T) + 15) / 16 * 16;
  };
  const auto rows = static_cast<size_t>(shape.rows), blocks = static_cast<size_t>(shape.num_sms);
  take(&workspace->shares, blocks);
  take(&workspace->units_per_block, 1);
  take(&workspace->first_unit, rows + 1);
  take(&workspace->arrivals, rows * static_cast<size_t>(shape.num_kv_heads));
  take(&workspace->partial_sums, 2 * blocks * kMaxGroup);
  take(&workspace->partial_out, 2 * blocks * kMaxGroup * kHeadDim);
  return used;
}

LaunchResult RunDecodePlan(const DecodePlan& plan, cudaStream_t stream) {
  if (plan.rows == 0) return {};
  return AfterLaunch(device::LaunchChained(DecodePlanKernel, 1, kPlanThreads, 0, stream, plan),
                     "decode attention's plan");
}

LaunchResult RunDecodeAttention(const DecodeAttention& attention, cudaStream_t stream) {
  const int num_kv_heads = attention.pages.num_kv_heads;
  if (num_kv_heads < 1 || attention.num_q_heads % num_kv_heads != 0 ||
      attention.num_q_heads / num_kv_heads > kMaxGroup) {
    return InvalidArguments("decode attention: 1 to 8 query heads for each KV head");
  }
  if (attention.rows == 0) return {};
  const cudaError_t error = device::AllowSharedBytes(DecodeAttentionKernel, kSharedBytes);
  if (error != cudaSuccess) return {.error = error, .problem = "cudaFuncSetAttribute"};
  return AfterLaunch(
      device::LaunchChained(DecodeAttentionKernel, static_cast<unsigned>(attention.num_sms),
                            kThreads, kSharedBytes, stream, attention),
      "decode attention");
}

}  // namespace sluice::kernels::attention
