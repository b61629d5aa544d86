// SPDX-License-Identifier: Apache-2.0
#include "kernels/attention/prefill_attention.h"

#include <algorithm>
#include <numbers>
#include <type_traits>
#include <utility>

#include "kernels/attention/prefill_items.cuh"
#include "kernels/attention/prefill_pieces.h"
#include "kernels/attention/prefill_softmax.cuh"
#include "kernels/device/bf16.cuh"
#include "kernels/device/launch.cuh"
#include "kernels/device/mma.cuh"
#include "kernels/device/named_barrier.cuh"
#include "kernels/device/register_share.cuh"
#include "kernels/device/ring_place.cuh"
#include "kernels/device/tensor_map.cuh"
#include "kernels/device/wgmma.cuh"

namespace sluice::kernels::attention {
namespace {

using device::kWarpgroupThreads;
using device::SharedMatrix;
using device::TransferBarrier;

// Each of two warpgroups computes 64 of an item's rows; a third copies.
constexpr int kGroupRows = 64;
constexpr int kComputeGroups = 2;
static_assert(kItemRows == kGroupRows * kComputeGroups);
constexpr int kComputeThreads = kComputeGroups * kWarpgroupThreads;
constexpr int kThreads = kComputeThreads + kWarpgroupThreads;
// 65,536 registers: 168 for each thread at first.
constexpr int kCopyRegisters = 24, kComputeRegisters = 240;

// A matrix in shared memory is two blocks of 64 of the head's values.
constexpr int kBlocks = kHeadDim / device::kBoxColumns;
constexpr int kPageBlockBytes = kPageSlots * device::kSwizzleRowBytes;
constexpr int kRoundBlockBytes = kRoundPages * kPageBlockBytes;
constexpr int kRoundBytes = kBlocks * kRoundBlockBytes;
constexpr int kQueryBlockBytes = kGroupRows * device::kSwizzleRowBytes;
constexpr int kQueryBytes = kBlocks * kQueryBlockBytes;  // of a warpgroup
constexpr int kStages = 2;
constexpr int kSteps = kHeadDim / 16;
static_assert(kRoundSlots == kHeadDim, "both products have as many steps");

struct Barriers {
  TransferBarrier keys_full[kStages], values_full[kStages];
  TransferBarrier keys_free[kStages], values_free[kStages];
};
constexpr int kKeysOffset = kComputeGroups * kQueryBytes;
constexpr int kValuesOffset = kKeysOffset + kStages * kRoundBytes;
constexpr int kBarriersOffset = kValuesOffset + kStages * kRoundBytes;
constexpr int kSharedBytes = kBarriersOffset + static_cast<int>(sizeof(Barriers));
static_assert(kSharedBytes <= 227 * 1024);

// Numbers of named barriers. A warpgroup's turn to issue its products, so that one's products run
// while the other weighs; a warpgroup's queries; all that compute.
enum NamedBarrier { kTurn = 1, kQueries = kTurn + kComputeGroups, kCompute = kQueries + 2 };

struct Parameters {
  PrefillAttention attention;
  int pieces = 1;                  // that contexts are cut into, if they are long enough
  device::TensorMap keys, values;  // all pages' slots, one after another
};

// Of a round. An item's rounds go from the last one to the first, so that what needs a mask comes
// first; the next item's follow without a gap.
using RingPlace = device::RingPlace<kStages>;

// ---- the copying warpgroup: one thread of it

// The pages of a round.
struct RoundPages {
  int count = 0;
  int rows[kRoundPages] = {};  // first slots, as rows of the maps
};

__device__ RoundPages ReadPages(const PrefillAttention& p, const PrefillItem& item, int round) {
  const int32_t* pages = p.page_tables + int64_t{item.tile.row} * p.max_pages + round * kRoundPages;
  RoundPages read;
  read.count = item.num_slots > round * kRoundSlots + kPageSlots ? 2 : 1;
#pragma unroll
  for (int i = 0; i < kRoundPages; ++i) {
    if (i < read.count) {
      read.rows[i] = (pages[i] * p.pages.num_kv_heads + item.kv_head) * kPageSlots;
    }
  }
  return read;
}

__device__ void CopyRound(const device::TensorMap& map, const RoundPages& pages, uint8_t* to,
                          TransferBarrier& full) {
  full.ArriveAndExpect(pages.count * kBlocks * kPageBlockBytes);
#pragma unroll
  for (int page = 0; page < kRoundPages; ++page) {
    if (page == pages.count) break;
#pragma unroll
    for (int block = 0; block < kBlocks; ++block) {
      device::CopyBox(map, pages.rows[page], block * device::kBoxColumns,
                      to + block * kRoundBlockBytes + page * kPageBlockBytes, full);
    }
  }
}

__device__ void CopyRounds(const Parameters& p, uint8_t* shared) {
  auto& barriers = *reinterpret_cast<Barriers*>(shared + kBarriersOffset);
  PrefillItems items(p.attention, p.pieces);
  PrefillItem item;
  if (!items.Next(item)) return;
  int round = item.end_round - 1;
  // A page's number is read a round before its copy, which would wait for it.
  RoundPages next = ReadPages(p.attention, item, round);
  // Values are needed a round later than keys.
  RoundPages value_pages;
  RingPlace place, value_place;
  const auto copy_values = [&] {
    barriers.values_free[value_place.stage].Wait(value_place.parity ^ 1);
    CopyRound(p.values, value_pages, shared + kValuesOffset + value_place.stage * kRoundBytes,
              barriers.values_full[value_place.stage]);
    value_place.Next();
  };
  while (next.count > 0) {
    const RoundPages pages = next;
    if (round > item.first_round) {
      next = ReadPages(p.attention, item, --round);
    } else if (items.Next(item)) {
      round = item.end_round - 1;
      next = ReadPages(p.attention, item, round);
    } else {
      next.count = 0;
    }
    barriers.keys_free[place.stage].Wait(place.parity ^ 1);
    CopyRound(p.keys, pages, shared + kKeysOffset + place.stage * kRoundBytes,
              barriers.keys_full[place.stage]);
    place.Next();
    if (value_pages.count > 0) copy_values();
    value_pages = pages;
  }
  copy_values();
}

// ---- the computing warpgroups

// Starts the copy of a warpgroup's queries, and waits for it: all of the warpgroup call.
__device__ void CopyQueries(const PrefillAttention& p, const PrefillItem& item, int group,
                            int thread, uint8_t* shared) {
  constexpr int kVectors = kHeadDim * 2 / 16;  // of 16 bytes, a query's
#pragma unroll
  for (int i = 0; i < kGroupRows * kVectors / kWarpgroupThreads; ++i) {
    const int within = (i * kWarpgroupThreads + thread) / kVectors, vector = thread % kVectors;
    const int row = group * kGroupRows + within;
    const bool use = item.Token(row) < item.tile.num_tokens;
    device::CopyAsync16OrZero(
        shared + vector / 8 * kQueryBlockBytes + device::SwizzledOffset(within, vector % 8),
        p.q + item.Row(p, use ? row : 0) * kHeadDim + vector * 8, use);
  }
  device::CommitCopies();
}
__device__ void AwaitQueries(int group) {
  device::WaitCopies<0>();
  device::FenceAsyncProxy();
  device::WaitAtBarrier(kQueries + group, kWarpgroupThreads);
}

// Weights as A of the product with values.
__device__ __forceinline__ void Pack(const float (&scores)[kRoundSlots / 2],
                                     uint32_t (&weights)[kSteps][4]) {
#pragma unroll
  for (int step = 0; step < kSteps; ++step) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      weights[step][i] = device::PackBf16(scores[8 * step + 2 * i], scores[8 * step + 2 * i + 1]);
    }
  }
}

// Scores of a round, and outputs += weights times values of a round: asynchronous, one group each.
__device__ __forceinline__ void IssueScores(float (&scores)[kRoundSlots / 2], SharedMatrix queries,
                                            SharedMatrix keys) {
#pragma unroll
  for (int step = 0; step < kSteps; ++step) {
    device::Product<kRoundSlots>(
        scores, queries.Advance(step / 4 * kQueryBlockBytes + step % 4 * 32),
        keys.Advance(step / 4 * kRoundBlockBytes + step % 4 * 32), step > 0);
  }
  device::CommitProducts();
}
__device__ __forceinline__ void IssueOutputs(float (&outputs)[kHeadDim / 2],
                                             const uint32_t (&weights)[kSteps][4],
                                             SharedMatrix values) {
#pragma unroll
  for (int step = 0; step < kSteps; ++step) {
    device::Product<kHeadDim, device::Major::kMn>(
        outputs, weights[step], values.Advance(step * 16 * device::kSwizzleRowBytes), true);
  }
  device::CommitProducts();
}

// Zeros for the slots of the last round that hold nothing: what lies there may be anything, and its
// weight of zero would not hide a NaN.
__device__ void ClearValues(int num_slots, int thread, uint8_t* values) {
  const int first = num_slots * device::kSwizzleRowBytes;
  for (int block = 0; block < kBlocks; ++block) {
    for (int at = first + thread * 16; at < kRoundBlockBytes; at += kComputeThreads * 16) {
      *reinterpret_cast<uint4*>(values + block * kRoundBlockBytes + at) = uint4{0, 0, 0, 0};
    }
  }
  device::FenceAsyncProxy();
  device::WaitAtBarrier(kCompute, kComputeThreads);
}

__device__ __forceinline__ void WriteOutputs(const PrefillAttention& p, const PrefillItem& item,
                                             int row, int lane, const Softmax& state,
                                             const float (&outputs)[kHeadDim / 2]) {
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    const float sum = SumOfQuad(state.sum[i]);
    if (item.Token(row + 8 * i) >= item.tile.num_tokens) continue;
    const int64_t to = item.Row(p, row + 8 * i);
    if (item.pieces == 1) {
      const float inverse = 1.0f / sum;
      auto* out = reinterpret_cast<__nv_bfloat162*>(p.out + to * kHeadDim);
#pragma unroll
      for (int j = 0; j < kHeadDim / 8; ++j) {
        out[4 * j + lane % 4] = __floats2bfloat162_rn(outputs[4 * j + 2 * i] * inverse,
                                                      outputs[4 * j + 2 * i + 1] * inverse);
      }
    } else {
      const int64_t partial = PartialRow(p, item.piece, to);
      auto* out = reinterpret_cast<float2*>(p.workspace.partial_out + partial * kHeadDim);
#pragma unroll
      for (int j = 0; j < kHeadDim / 8; ++j) {
        out[4 * j + lane % 4] = {outputs[4 * j + 2 * i], outputs[4 * j + 2 * i + 1]};
      }
      if (lane % 4 == 0) p.workspace.partial_sums[partial] = {state.maximum[i], sum};
    }
  }
}

__device__ void Compute(const Parameters& parameters, int group, uint8_t* shared) {
  const PrefillAttention& p = parameters.attention;
  auto& barriers = *reinterpret_cast<Barriers*>(shared + kBarriersOffset);
  const int thread = static_cast<int>(threadIdx.x) % kWarpgroupThreads, lane = thread % 32;
  const int row = group * kGroupRows + thread / 32 * 16 + lane / 4;  // and row + 8, of an item's
  uint8_t* const queries_at = shared + group * kQueryBytes;
  const SharedMatrix queries = device::KMajorMatrix(queries_at);
  const SharedMatrix keys = device::KMajorMatrix(shared + kKeysOffset);
  const SharedMatrix values = device::MnMajorMatrix(shared + kValuesOffset, kRoundBlockBytes);
  const float scale_log2 = p.scale * std::numbers::log2e_v<float>;
  const auto free_stage = [lane](TransferBarrier& barrier) {
    if (lane == 0) barrier.Arrive();
  };
  RingPlace place, value_place;  // of values: a round behind

  PrefillItems items(p, parameters.pieces);
  PrefillItem item;
  bool more = items.Next(item);
  if (more) CopyQueries(p, item, group, thread, queries_at);
  if (group != 0) device::PassBarrier(kTurn, kComputeThreads);
  while (more) {
    // Rows beyond the tile's see what its last token sees and on; they are not written.
    const int positions[2] = {item.Position(row), item.Position(row + 8)};
    // Rounds from this one on have slots that some of the warpgroup's rows may not see.
    const int first_masked = (item.Position(group * kGroupRows) + 1) / kRoundSlots;
    float scores[kRoundSlots / 2], outputs[kHeadDim / 2] = {};
    uint32_t weights[kSteps][4];
    Softmax state;
    float rescale[2];
    int round = item.end_round - 1;
    const auto weigh = [&](auto masked) {
      const int first = round * kRoundSlots;
      Weigh<decltype(masked)::value>(scores, {positions[0] - first, positions[1] - first},
                                     scale_log2, lane, state, rescale);
    };

    AwaitQueries(group);
    barriers.keys_full[place.stage].Wait(place.parity);
    device::FenceProducts(scores);
    IssueScores(scores, queries, keys.Advance(place.stage * kRoundBytes));
    device::WaitProducts<0>(scores);
    free_stage(barriers.keys_free[place.stage]);
    place.Next();
    weigh(std::true_type());
    Pack(scores, weights);
    if (item.num_slots < (round + 1) * kRoundSlots) {
      barriers.values_full[value_place.stage].Wait(value_place.parity);
      ClearValues(item.num_slots - round * kRoundSlots, static_cast<int>(threadIdx.x),
                  shared + kValuesOffset + value_place.stage * kRoundBytes);
    }

    const auto go_on = [&](auto masked) {
      device::WaitAtBarrier(kTurn + group, kComputeThreads);
      barriers.keys_full[place.stage].Wait(place.parity);
      device::FenceProducts(scores);
      IssueScores(scores, queries, keys.Advance(place.stage * kRoundBytes));
      barriers.values_full[value_place.stage].Wait(value_place.parity);
      device::FenceProducts(outputs, weights);
      IssueOutputs(outputs, weights, values.Advance(value_place.stage * kRoundBytes));
      device::PassBarrier(kTurn + (group ^ 1), kComputeThreads);
      device::WaitProducts<1>(scores);
      free_stage(barriers.keys_free[place.stage]);
      place.Next();
      weigh(masked);
      device::WaitProducts<0>(outputs, weights);
      free_stage(barriers.values_free[value_place.stage]);
      value_place.Next();
#pragma unroll
      for (int i = 0; i < kHeadDim / 2; ++i) outputs[i] *= rescale[i / 2 % 2];
      Pack(scores, weights);
    };
    const int last_masked = max(first_masked, item.first_round);
    for (--round; round >= last_masked; --round) go_on(std::true_type());
#pragma unroll 1
    for (; round >= item.first_round; --round) go_on(std::false_type());

    barriers.values_full[value_place.stage].Wait(value_place.parity);
    device::FenceProducts(outputs, weights);
    IssueOutputs(outputs, weights, values.Advance(value_place.stage * kRoundBytes));
    // All warps are done with these queries: the next ones come while the outputs are finished.
    device::WaitAtBarrier(kQueries + group, kWarpgroupThreads);
    PrefillItem next;
    more = items.Next(next);
    if (more) CopyQueries(p, next, group, thread, queries_at);
    device::WaitProducts<0>(outputs, weights);
    free_stage(barriers.values_free[value_place.stage]);
    value_place.Next();
    WriteOutputs(p, item, row, lane, state, outputs);
    item = next;
  }
  // The other warpgroup's last pass, so that no barrier is left half open.
  if (group == 0) device::WaitAtBarrier(kTurn, kComputeThreads);
}

__global__ void __launch_bounds__(kThreads, 1)
    PrefillAttentionKernel(const __grid_constant__ Parameters p) {
  uint8_t* const shared = device::DynamicShared();
  if (threadIdx.x == 0) {
    auto& barriers = *reinterpret_cast<Barriers*>(shared + kBarriersOffset);
    for (int stage = 0; stage < kStages; ++stage) {
      barriers.keys_full[stage].SetUp(1);
      barriers.values_full[stage].SetUp(1);
      // Each computing warp says when it has done with a stage.
      barriers.keys_free[stage].SetUp(kComputeThreads / 32);
      barriers.values_free[stage].SetUp(kComputeThreads / 32);
    }
    device::PublishBarriers();
  }
  __syncthreads();
  // By a shuffle, so that the compiler sees that warps do not diverge at it.
  const int group = __shfl_sync(0xffffffffu, static_cast<int>(threadIdx.x) / kWarpgroupThreads, 0);
  if (group == kComputeGroups) {
    device::GiveRegisters<kCopyRegisters>();
    if (threadIdx.x == kComputeThreads) CopyRounds(p, shared);
  } else {
    device::TakeRegisters<kComputeRegisters>();
    Compute(p, group, shared);
  }
}

}  // namespace

LaunchResult RunPrefillAttention(const PrefillAttention& attention, cudaStream_t stream) {
  const int num_kv_heads = attention.pages.num_kv_heads;
  if (num_kv_heads < 1 || attention.num_q_heads % num_kv_heads != 0) {
    return InvalidArguments("prefill attention: the query heads are no multiple of the KV heads");
  }
  if (attention.num_tiles > 65535)
    return InvalidArguments("prefill attention: more than 65,535 tiles");
  if (attention.num_sms < 1) return InvalidArguments("prefill attention: no multiprocessors");
  if (attention.num_tiles == 0) return {};
  Parameters parameters = {attention, ChoosePrefillPieces(attention), {}, {}};
  for (const auto& [pages, map] : {std::pair{attention.pages.keys, &parameters.keys},
                                   std::pair{attention.pages.values, &parameters.values}}) {
    // How many pages there are is not known here, and no others are asked for.
    constexpr int64_t kManyRows = int64_t{1} << 31;
    const cudaError_t error = device::MakeTensorMap(pages, kManyRows, kHeadDim, kPageSlots, map);
    if (error != cudaSuccess) return {.error = error, .problem = "prefill attention's tensor map"};
  }
  const cudaError_t error = device::AllowSharedBytes(PrefillAttentionKernel, kSharedBytes);
  if (error != cudaSuccess) return {.error = error, .problem = "cudaFuncSetAttribute"};
  const auto grid = static_cast<unsigned>(
      std::min(attention.num_sms, attention.num_tiles * attention.num_q_heads * parameters.pieces));
  const LaunchResult launched = AfterLaunch(
      device::Launch(PrefillAttentionKernel, grid, kThreads, kSharedBytes, stream, parameters),
      "prefill attention");
  if (!launched.ok() || parameters.pieces == 1) return launched;
  return CombinePrefillPieces(attention, parameters.pieces, stream);
}

}  // namespace sluice::kernels::attention
