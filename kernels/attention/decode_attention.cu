// SPDX-License-Identifier: Apache-2.0
#include "kernels/attention/decode_attention.h"

#include <numbers>

#include "kernels/attention/decode_merge.cuh"
#include "kernels/attention/decode_units.cuh"
#include "kernels/device/async_copy.cuh"
#include "kernels/device/bf16.cuh"
#include "kernels/device/launch.cuh"
#include "kernels/device/mma.cuh"

namespace sluice::kernels::attention {
namespace {

constexpr int kThreads = 32 * kDecodeWarps;
constexpr int kStages = 3;  // of a warp's ring, a unit each
constexpr int kRowBytes = kHeadDim * 2;
constexpr int kMatrixBytes = kUnitSlots * kRowBytes;
constexpr int kStageBytes = 2 * kMatrixBytes;
constexpr int kRingBytes = kDecodeWarps * kStages * kStageBytes;
constexpr int kSharedBytes = kRingBytes + static_cast<int>(sizeof(Merge));
static_assert(kSharedBytes <= 227 * 1024);
constexpr int kKSteps = kHeadDim / 16;

// Where the 16 bytes `vector` of a slot lie in a matrix of a stage: so that the eight slots that
// ldmatrix reads at a time fall into different banks.
__device__ int OffsetInMatrix(int slot, int vector) {
  return slot * kRowBytes + ((vector ^ (slot & 7)) * 16);
}

__device__ DecodeShare LoadShare(const DecodeShare* from) {
  const int4 fields = __ldg(reinterpret_cast<const int4*>(from));
  return {fields.x, fields.y, fields.z, fields.w};
}

// A unit of the segment into a stage; slots beyond the row's end become zeros, since what lies
// there was never written or may be anything.
__device__ void CopyUnit(const DecodeAttention& p, const Segment& segment, int unit, uint8_t* stage,
                         int lane) {
  const int first = (unit - segment.begin) * kUnitSlots;
  const int page = __ldg(segment.pages + first / kPageSlots);
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

__global__ void __launch_bounds__(kThreads, 1)
    DecodeAttentionKernel(const __grid_constant__ DecodeAttention p) {
  device::LetNextStart();
  uint8_t* const shared = device::DynamicShared();
  Merge& merge = *reinterpret_cast<Merge*>(shared + kRingBytes);
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int warp = static_cast<int>(threadIdx.x) / 32;
  uint8_t* ring = shared + warp * kStages * kStageBytes;
  const DecodeShare share = LoadShare(p.workspace.shares + blockIdx.x);
  if (share.begin >= share.end) {
    device::WaitForPrevious();
    return;
  }
  Segment segment = FirstSegment(p, share);
  // The warp's units, every eighth of the block's. Copies run ahead of the computation, across the
  // segments' ends.
  Segment copied_segment = segment;
  int copied = share.begin + warp, copied_stage = 0;
  const auto find_next = [&] {
    while (copied >= copied_segment.end()) copied_segment.Next(p);
  };
  const auto copy_next = [&] {
    if (copied < share.end) {
      find_next();
      CopyUnit(p, copied_segment, copied, ring + copied_stage * kStageBytes, lane);
      copied += kDecodeWarps;
      copied_stage = copied_stage + 1 == kStages ? 0 : copied_stage + 1;
    }
    device::CommitCopies();
  };
  // What earlier steps have written is on its way before the kernels in front have ended.
  int ahead = 0;
#pragma unroll 1
  for (; ahead < kStages - 1 && copied < share.end; ++ahead) {
    find_next();
    if (!copied_segment.IsOld(copied)) break;
    copy_next();
  }
  device::WaitForPrevious();
#pragma unroll 1
  for (; ahead < kStages - 1; ++ahead) copy_next();
  const float scale_log2 = p.scale * std::numbers::log2e_v<float>;
  const int group = p.num_q_heads / p.pages.num_kv_heads;
  int unit = share.begin + warp, stage = 0;
  for (int begin = share.begin;;) {
    const int end = min(segment.end(), share.end);
    uint32_t q[kKSteps][2];
    if (unit < end) LoadQueries(p, segment, lane, q);
    Softmax state;
    const bool any = unit < end;
#pragma unroll 1
    for (; unit < end; unit += kDecodeWarps) {
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
