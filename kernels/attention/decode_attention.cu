// SPDX-License-Identifier: Apache-2.0
#include "kernels/attention/decode_attention.h"
#include "kernels/device/async_copy.cuh"
#include "kernels/device/launch.cuh"
#include "kernels/device/mma.cuh"
#include "kernels/device/reduce.cuh"

namespace sluice::kernels::attention {
namespace {

constexpr int kWarps = 8;
constexpr int kThreads = 32 * kWarps;
constexpr int kStageSlots = 16;
constexpr int kStages = 3;
// A row of shared memory is a slot's head and 16 bytes, so that ldmatrix's eight rows of 16 bytes
// fall into different banks.
constexpr int kRowBytes = kHeadDim * 2 + 16;
constexpr int kMatrixBytes = kStageSlots * kRowBytes;
constexpr int kStageBytes = 2 * kMatrixBytes;
constexpr int kSharedBytes = kWarps * kStages * kStageBytes;
static_assert(kSharedBytes <= 227 * 1024);
constexpr int kKSteps = kHeadDim / 16;
constexpr float kLog2E = 1.4426950408889634f;

// ---- the plan

constexpr int kPlanThreads = 256;

__device__ int ItemsOf(int length, int slots_per_item) {
  return (length + slots_per_item - 1) / slots_per_item;
}

// One block. Every warp of the GPU should get one item if rows allow it.
__global__ void __launch_bounds__(kPlanThreads) DecodePlanKernel(DecodePlan plan, int num_warps) {
  __shared__ int scratch[kPlanThreads / device::kWarpSize];
  device::BeginChained();
  const int thread = static_cast<int>(threadIdx.x);
  int own_pages = 0;
  for (int row = thread; row < plan.rows; row += kPlanThreads) {
    own_pages += ItemsOf(plan.lengths[row], kPageSlots);
  }
  const int64_t work =
      int64_t{device::BlockPrefixSum(own_pages, scratch).total} * plan.num_kv_heads;
  const int pages_per_item = static_cast<int>((work + num_warps - 1) / num_warps);
  const int slots_per_item = (pages_per_item > 1 ? pages_per_item : 1) * kPageSlots;
  int first = 0;
  for (int begin = 0; begin < plan.rows; begin += kPlanThreads) {
    __syncthreads();  // scratch was read
    const int row = begin + thread;
    const int items = row < plan.rows ? ItemsOf(plan.lengths[row], slots_per_item) : 0;
    const device::PrefixSum sum = device::BlockPrefixSum(items, scratch);
    if (row < plan.rows) plan.workspace.first_item[row] = first + sum.before;
    first += sum.total;
  }
  if (thread == 0) {
    *plan.workspace.slots_per_item = slots_per_item;
    plan.workspace.first_item[plan.rows] = first;
  }
}

// ---- the items

struct Item {
  int row;
  int kv_head;
  int index;             // among all items of the KV head
  int num_of_row;        // items of the row
  int begin, end;        // slots
  const int32_t* pages;  // the row's
};

__device__ Item ItemAt(const DecodeAttention& p, int work) {
  Item item;
  item.kv_head = work % p.pages.num_kv_heads;
  item.index = work / p.pages.num_kv_heads;
  const int32_t* first_item = p.workspace.first_item;
  int low = 0, high = p.rows;  // first_item[low] <= index < first_item[high]
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    if (first_item[middle] <= item.index) {
      low = middle;
    } else {
      high = middle;
    }
  }
  item.row = low;
  item.num_of_row = first_item[low + 1] - first_item[low];
  const int slots = *p.workspace.slots_per_item;
  item.begin = (item.index - first_item[low]) * slots;
  item.end = min(item.begin + slots, p.lengths[low]);
  item.pages = p.page_tables + int64_t{p.table_rows[low]} * p.max_pages;
  return item;
}

// Slots first .. first + 15 of the item into a stage; those beyond its end become zeros, since what
// lies there was never written or may be anything.
__device__ void CopySlots(const DecodeAttention& p, const Item& item, int first, uint8_t* stage,
                          int lane) {
  const int page = item.pages[first / kPageSlots];
  const int64_t offset = p.pages.Offset(page, item.kv_head, first % kPageSlots);
  constexpr int kVectors = kHeadDim * 2 / 16;  // of a slot
#pragma unroll
  for (int i = 0; i < kStageSlots * kVectors / 32; ++i) {
    const int slot = (32 * i + lane) / kVectors, column = (32 * i + lane) % kVectors;
    const bool use = first + slot < item.end;
    const int64_t from = offset + slot * kHeadDim + column * 8;
    uint8_t* to = stage + slot * kRowBytes + column * 16;
    device::CopyAsync16OrZero(to, p.pages.keys + from, use);
    device::CopyAsync16OrZero(to + kMatrixBytes, p.pages.values + from, use);
  }
}

// The group's queries as B fragments: of head g, dimensions 2t, 2t + 1 and 8 on.
__device__ void LoadQueries(const DecodeAttention& p, const Item& item, int lane,
                            uint32_t (&q)[kKSteps][2]) {
  const int group = p.num_q_heads / p.pages.num_kv_heads;
  const int head = lane / 4;
  const auto* from = reinterpret_cast<const uint32_t*>(
      p.q + (int64_t{item.row} * p.num_q_heads + item.kv_head * group + head) * kHeadDim);
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

// num_slots: of the stage's 16, those that count.
__device__ void AddStage(const uint8_t* stage, int num_slots, const uint32_t (&q)[kKSteps][2],
                         float scale_log2, int lane, Softmax& state) {
  float scores[4] = {0.0f, 0.0f, 0.0f, 0.0f};
  const uint8_t* key_row = stage + (lane / 8 % 2 * 8 + lane % 8) * kRowBytes + lane / 16 * 16;
#pragma unroll
  for (int step = 0; step < kKSteps; ++step) {
    uint32_t keys[4];
    device::LoadMatrix4(keys, key_row + step * 32);
    device::Mma16x8x16(scores, keys, q[step]);
  }
  float p[4];
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int slot = lane / 4 + i / 2 * 8;
    p[i] = slot < num_slots ? scores[i] * scale_log2 : -INFINITY;
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
  const uint8_t* value_row =
      stage + kMatrixBytes + (lane / 16 * 8 + lane % 8) * kRowBytes + lane / 8 % 2 * 16;
#pragma unroll
  for (int step = 0; step < kKSteps; ++step) {
    uint32_t values[4];
    device::LoadMatrix4Transposed(values, value_row + step * 32);
    device::Mma16x8x16(state.out[step], values, weights);
  }
}

__device__ void WriteItem(const DecodeAttention& p, const Item& item, int lane,
                          const Softmax& state) {
  const int group = p.num_q_heads / p.pages.num_kv_heads;
  const bool whole = item.num_of_row == 1;
  const int64_t partial = int64_t{item.index} * p.pages.num_kv_heads + item.kv_head;
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    const int head = 2 * (lane % 4) + i;
    if (head >= group) continue;
    const float inverse = 1.0f / state.sum[i];
    __nv_bfloat16* out =
        p.out + (int64_t{item.row} * p.num_q_heads + item.kv_head * group + head) * kHeadDim;
    float* partial_out = p.workspace.partial_out + (partial * kMaxGroup + head) * kHeadDim;
#pragma unroll
    for (int step = 0; step < kKSteps; ++step) {
      const int dimension = 16 * step + lane / 4;
      if (whole) {
        out[dimension] = __float2bfloat16(state.out[step][i] * inverse);
        out[dimension + 8] = __float2bfloat16(state.out[step][i + 2] * inverse);
      } else {
        partial_out[dimension] = state.out[step][i];
        partial_out[dimension + 8] = state.out[step][i + 2];
      }
    }
    if (!whole && lane / 4 == 0) {
      p.workspace.partial_sums[partial * kMaxGroup + head] = {state.maximum[i], state.sum[i]};
    }
  }
}

__global__ void __launch_bounds__(kThreads, 1) DecodeAttentionKernel(DecodeAttention p) {
  device::BeginChained();
  uint8_t* const shared = device::DynamicShared();
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int warp = static_cast<int>(threadIdx.x) / 32;
  uint8_t* ring = shared + warp * kStages * kStageBytes;
  const int num_work = p.workspace.first_item[p.rows] * p.pages.num_kv_heads;
  const float scale_log2 = p.scale * kLog2E;
  // Dealt out to the blocks in turn: few items are on many multiprocessors.
  const int num_blocks = static_cast<int>(gridDim.x);
  for (int work = warp * num_blocks + static_cast<int>(blockIdx.x); work < num_work;
       work += kWarps * num_blocks) {
    const Item item = ItemAt(p, work);
    const int num_stages = (item.end - item.begin + kStageSlots - 1) / kStageSlots;
#pragma unroll
    for (int stage = 0; stage < kStages - 1; ++stage) {
      if (stage < num_stages) {
        CopySlots(p, item, item.begin + stage * kStageSlots, ring + stage * kStageBytes, lane);
      }
      device::CommitCopies();
    }
    uint32_t q[kKSteps][2];
    LoadQueries(p, item, lane, q);
    Softmax state;
    for (int i = 0; i < num_stages; ++i) {
      const int ahead = i + kStages - 1;
      __syncwarp();
      if (ahead < num_stages) {
        CopySlots(p, item, item.begin + ahead * kStageSlots, ring + ahead % kStages * kStageBytes,
                  lane);
      }
      device::CommitCopies();
      device::WaitCopies<kStages - 1>();
      __syncwarp();
      AddStage(ring + i % kStages * kStageBytes, item.end - item.begin - i * kStageSlots, q,
               scale_log2, lane, state);
    }
    WriteItem(p, item, lane, state);
    __syncwarp();
  }
}

// ---- rows that were cut

// One block a row's query head, one thread a dimension.
__global__ void __launch_bounds__(kHeadDim) CombineKernel(DecodeAttention p) {
  device::BeginChained();
  const int row = static_cast<int>(blockIdx.y), head = static_cast<int>(blockIdx.x);
  const int first = p.workspace.first_item[row], end = p.workspace.first_item[row + 1];
  if (end - first < 2) return;
  const int num_kv_heads = p.pages.num_kv_heads, group = p.num_q_heads / num_kv_heads;
  const int kv_head = head / group;
  const auto place = [&](int item) {
    return (int64_t{item} * num_kv_heads + kv_head) * kMaxGroup + head % group;
  };
  // Maxima and sums of the next items, so that what is left to wait for in the loop over them is
  // their outputs, several at a time.
  __shared__ float2 parts[kHeadDim];
  const int thread = static_cast<int>(threadIdx.x);
  float maximum = -INFINITY, sum = 0.0f, out = 0.0f;
  for (int begin = first; begin < end; begin += kHeadDim) {
    const int count = min(kHeadDim, end - begin);
    __syncthreads();
    if (thread < count) parts[thread] = p.workspace.partial_sums[place(begin + thread)];
    __syncthreads();
    const float before = maximum;
    for (int i = 0; i < count; ++i) maximum = fmaxf(maximum, parts[i].x);
    const float rescale = exp2f(before - maximum);
    sum *= rescale;
    out *= rescale;
#pragma unroll 8
    for (int i = 0; i < count; ++i) {
      const float weight = exp2f(parts[i].x - maximum);
      sum += parts[i].y * weight;
      out += p.workspace.partial_out[place(begin + i) * kHeadDim + thread] * weight;
    }
  }
  p.out[(int64_t{row} * p.num_q_heads + head) * kHeadDim + thread] = __float2bfloat16(out / sum);
}

}  // namespace

int MaxDecodeItems(int rows, int num_kv_heads, int num_sms) {
  // Whole items of the even share, and one that is not whole for each row.
  return (num_sms * kWarps + num_kv_heads - 1) / num_kv_heads + rows;
}

LaunchResult RunDecodePlan(const DecodePlan& plan, cudaStream_t stream) {
  if (plan.rows == 0) return {};
  return AfterLaunch(device::LaunchChained(DecodePlanKernel, 1, kPlanThreads, 0, stream, plan,
                                           plan.num_sms * kWarps),
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
  const LaunchResult result = AfterLaunch(
      device::LaunchChained(DecodeAttentionKernel, static_cast<unsigned>(attention.num_sms),
                            kThreads, kSharedBytes, stream, attention),
      "decode attention");
  if (!result.ok()) return result;
  const dim3 grid(static_cast<unsigned>(attention.num_q_heads),
                  static_cast<unsigned>(attention.rows));
  return AfterLaunch(device::LaunchChained(CombineKernel, grid, kHeadDim, 0, stream, attention),
                     "decode attention's combination");
}

}  // namespace sluice::kernels::attention
