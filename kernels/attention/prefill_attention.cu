// SPDX-License-Identifier: Apache-2.0
#include "kernels/attention/prefill_attention.h"

#include <algorithm>
#include <type_traits>
#include <utility>

#include "kernels/device/alu.cuh"
#include "kernels/device/bf16.cuh"
#include "kernels/device/launch.cuh"
#include "kernels/device/mma.cuh"
#include "kernels/device/named_barrier.cuh"
#include "kernels/device/register_share.cuh"
#include "kernels/device/tensor_map.cuh"
#include "kernels/device/wgmma.cuh"

namespace sluice::kernels::attention {
namespace {

using device::FastExp2;
using device::kWarpgroupThreads;
using device::SharedMatrix;
using device::TransferBarrier;

// A block's rows are queries: neighbouring tokens, each with all query heads of one KV head, so
// that a few tokens fill rows as well. Each of two warpgroups computes 64 of them; a third copies.
constexpr int kGroupRows = 64;
constexpr int kComputeGroups = 2;
constexpr int kRows = kGroupRows * kComputeGroups;
constexpr int kComputeThreads = kComputeGroups * kWarpgroupThreads;
constexpr int kThreads = kComputeThreads + kWarpgroupThreads;
// 65,536 registers: 168 for each thread at first.
constexpr int kCopyRegisters = 24, kComputeRegisters = 240;

// A round is two pages. A matrix in shared memory is two blocks of 64 of the head's values.
constexpr int kRoundPages = 2;
constexpr int kRoundSlots = kRoundPages * kPageSlots;
constexpr int kBlocks = kHeadDim / device::kBoxColumns;
constexpr int kPageBlockBytes = kPageSlots * device::kSwizzleRowBytes;
constexpr int kRoundBlockBytes = kRoundPages * kPageBlockBytes;
constexpr int kRoundBytes = kBlocks * kRoundBlockBytes;
constexpr int kQueryBlockBytes = kGroupRows * device::kSwizzleRowBytes;
constexpr int kQueryBytes = kBlocks * kQueryBlockBytes;  // of a warpgroup
constexpr int kStages = 2;
constexpr int kSteps = kHeadDim / 16;
static_assert(kRoundSlots == kHeadDim, "both products have as many steps");
// A piece of a context has at least so many rounds, and there are at most so many pieces.
constexpr int kMinPieceRounds = 4;
constexpr int kMaxPieces = 32;
// Pieces of all items that are worth their partial results, a multiprocessor.
constexpr int kPiecesPerSm = 5;
constexpr float kLog2E = 1.4426950408889634f;

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

// What a block computes at once: some rows of a tile and one KV head, and a piece of what they see.
struct Item {
  PrefillTile tile = {};
  int kv_head = 0, heads = 0;          // query heads a KV head
  int first_row = 0;                   // of the tile's tokens times heads
  int num_slots = 0;                   // of the row that hold anything, as far as this tile knows
  int piece = 0, pieces = 0;           // of the context; 0 of them where the item has no rows
  int first_round = 0, end_round = 0;  // of the piece

  Item() = default;
  // within: of the tile's items, one for each query head.
  __device__ Item(const PrefillAttention& p, const PrefillTile& of_tile, int within, int of_piece,
                  int most_pieces)
      : tile(of_tile), piece(of_piece) {
    heads = p.num_q_heads / p.pages.num_kv_heads;
    kv_head = within / heads;
    first_row = within % heads * kRows;
    if (first_row >= tile.num_tokens * heads) return;  // a tile of few tokens
    num_slots = tile.first_position + tile.num_tokens;
    const int last = min(Token(kRows - 1), tile.num_tokens - 1);
    const int rounds = (tile.first_position + last + kRoundSlots) / kRoundSlots;
    pieces = max(1, min(most_pieces, rounds / kMinPieceRounds));
    first_round = rounds * piece / pieces;
    end_round = rounds * (piece + 1) / pieces;
  }

  __device__ bool empty() const { return piece >= pieces; }
  // Of a row of the item, which may be beyond the tile's.
  __device__ int Token(int row) const { return (first_row + row) / heads; }
  __device__ int Position(int row) const { return tile.first_position + Token(row); }
  // In q and out, a row a query head.
  __device__ int64_t Row(const PrefillAttention& p, int row) const {
    const int token = Token(row), head = first_row + row - token * heads;
    return int64_t{tile.first_token + token} * p.num_q_heads + kv_head * heads + head;
  }
};

// Of the first piece of a row of q: in the workspace.
__device__ inline int64_t PartialRow(const PrefillAttention& p, int piece, int64_t row) {
  return int64_t{piece} * p.num_tokens * p.num_q_heads + row;
}

// The items of a block. Those of a tile are as many as there are query heads; tiles come with the
// most pages first, so a block takes one from the front of each 2 * gridDim.x and one from the
// back.
class Items {
 public:
  __device__ explicit Items(const Parameters& p)
      : p_(p), count_(p.attention.num_tiles * p.attention.num_q_heads * p.pieces) {}

  // False at the end.
  __device__ bool Next(Item& item) {
    const int blocks = static_cast<int>(gridDim.x), block = static_cast<int>(blockIdx.x);
    while (turn_ * blocks < count_) {
      const int number = turn_ * blocks + (turn_ % 2 == 0 ? block : blocks - 1 - block);
      ++turn_;
      if (number >= count_) continue;
      const int of_tile = number / p_.pieces, num_q_heads = p_.attention.num_q_heads;
      item = Item(p_.attention, p_.attention.tiles[of_tile / num_q_heads], of_tile % num_q_heads,
                  number % p_.pieces, p_.pieces);
      if (!item.empty()) return true;
    }
    return false;
  }

 private:
  const Parameters& p_;
  const int count_;
  int turn_ = 0;
};

// A round's place in the ring. An item's rounds go from the last one to the first, so that what
// needs a mask comes first; the next item's follow without a gap.
struct Turn {
  int stage = 0, parity = 0;
  __device__ void Next() {
    if (++stage == kStages) {
      stage = 0;
      parity ^= 1;
    }
  }
};

// ---- the copying warpgroup: one thread of it

// The pages of a round.
struct RoundPages {
  int count = 0;
  int rows[kRoundPages] = {};  // first slots, as rows of the maps
};

__device__ RoundPages ReadPages(const PrefillAttention& p, const Item& item, int round) {
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
  Items items(p);
  Item item;
  if (!items.Next(item)) return;
  int round = item.end_round - 1;
  // A page's number is read a round before its copy, which would wait for it.
  RoundPages next = ReadPages(p.attention, item, round);
  // Values are needed a round later than keys.
  RoundPages value_pages;
  Turn turn, value_turn;
  const auto copy_values = [&] {
    barriers.values_free[value_turn.stage].Wait(value_turn.parity ^ 1);
    CopyRound(p.values, value_pages, shared + kValuesOffset + value_turn.stage * kRoundBytes,
              barriers.values_full[value_turn.stage]);
    value_turn.Next();
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
    barriers.keys_free[turn.stage].Wait(turn.parity ^ 1);
    CopyRound(p.keys, pages, shared + kKeysOffset + turn.stage * kRoundBytes,
              barriers.keys_full[turn.stage]);
    turn.Next();
    if (value_pages.count > 0) copy_values();
    value_pages = pages;
  }
  copy_values();
}

// ---- the computing warpgroups

// Starts the copy of a warpgroup's queries, and waits for it: all of the warpgroup call.
__device__ void CopyQueries(const PrefillAttention& p, const Item& item, int group, int thread,
                            uint8_t* shared) {
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

// Of the rows 8 i + lane / 4 of a warp's 16, i 0 and 1. Maxima are of scores, not yet scaled.
struct Softmax {
  float maximum[2] = {-INFINITY, -INFINITY};
  float sum[2] = {0.0f, 0.0f};  // of this lane's slots alone, until the end
};

__device__ float MaxOfQuad(float value) {
  value = fmaxf(value, __shfl_xor_sync(0xffffffffu, value, 1));
  return fmaxf(value, __shfl_xor_sync(0xffffffffu, value, 2));
}

__device__ float SumOfQuad(float value) {
  value += __shfl_xor_sync(0xffffffffu, value, 1);
  return value + __shfl_xor_sync(0xffffffffu, value, 2);
}

// Turns scores into weights relative to the new maxima; rescale: what sums and outputs so far have
// to be multiplied with. kMasked: last_slot[i], of the round, is the last one that row i may see,
// may be negative or beyond the round.
template <bool kMasked>
__device__ __forceinline__ void Weigh(float (&scores)[kRoundSlots / 2], const int (&last_slot)[2],
                                      float scale_log2, int lane, Softmax& state,
                                      float (&rescale)[2]) {
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    float maximum = state.maximum[i];
#pragma unroll
    for (int tile = 0; tile < kRoundSlots / 8; ++tile) {
#pragma unroll
      for (int j = 0; j < 2; ++j) {
        float& score = scores[4 * tile + 2 * i + j];
        if (kMasked && 8 * tile + 2 * (lane % 4) + j > last_slot[i]) score = -INFINITY;
        maximum = fmaxf(maximum, score);
      }
    }
    maximum = MaxOfQuad(maximum);
    // A round of which this row sees nothing leaves everything as it is.
    const float base = kMasked && maximum == -INFINITY ? 0.0f : maximum * scale_log2;
    rescale[i] = FastExp2(state.maximum[i] * scale_log2 - base);
    state.maximum[i] = maximum;
    float sum = 0.0f;
#pragma unroll
    for (int tile = 0; tile < kRoundSlots / 8; ++tile) {
#pragma unroll
      for (int j = 0; j < 2; ++j) {
        float& score = scores[4 * tile + 2 * i + j];
        score = FastExp2(score * scale_log2 - base);
        sum += score;
      }
    }
    state.sum[i] = state.sum[i] * rescale[i] + sum;
  }
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

__device__ __forceinline__ void WriteOutputs(const PrefillAttention& p, const Item& item, int row,
                                             int lane, const Softmax& state,
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
  const float scale_log2 = p.scale * kLog2E;
  const auto free_stage = [lane](TransferBarrier& barrier) {
    if (lane == 0) barrier.Arrive();
  };
  Turn turn, value_turn;  // of values: a round behind

  Items items(parameters);
  Item item;
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
    barriers.keys_full[turn.stage].Wait(turn.parity);
    device::FenceProducts(scores);
    IssueScores(scores, queries, keys.Advance(turn.stage * kRoundBytes));
    device::WaitProducts<0>(scores);
    free_stage(barriers.keys_free[turn.stage]);
    turn.Next();
    weigh(std::true_type());
    Pack(scores, weights);
    if (item.num_slots < (round + 1) * kRoundSlots) {
      barriers.values_full[value_turn.stage].Wait(value_turn.parity);
      ClearValues(item.num_slots - round * kRoundSlots, static_cast<int>(threadIdx.x),
                  shared + kValuesOffset + value_turn.stage * kRoundBytes);
    }

    const auto go_on = [&](auto masked) {
      device::WaitAtBarrier(kTurn + group, kComputeThreads);
      barriers.keys_full[turn.stage].Wait(turn.parity);
      device::FenceProducts(scores);
      IssueScores(scores, queries, keys.Advance(turn.stage * kRoundBytes));
      barriers.values_full[value_turn.stage].Wait(value_turn.parity);
      device::FenceProducts(outputs, weights);
      IssueOutputs(outputs, weights, values.Advance(value_turn.stage * kRoundBytes));
      device::PassBarrier(kTurn + (group ^ 1), kComputeThreads);
      device::WaitProducts<1>(scores);
      free_stage(barriers.keys_free[turn.stage]);
      turn.Next();
      weigh(masked);
      device::WaitProducts<0>(outputs, weights);
      free_stage(barriers.values_free[value_turn.stage]);
      value_turn.Next();
#pragma unroll
      for (int i = 0; i < kHeadDim / 2; ++i) outputs[i] *= rescale[i / 2 % 2];
      Pack(scores, weights);
    };
    const int last_masked = max(first_masked, item.first_round);
    for (--round; round >= last_masked; --round) go_on(std::true_type());
#pragma unroll 1
    for (; round >= item.first_round; --round) go_on(std::false_type());

    barriers.values_full[value_turn.stage].Wait(value_turn.parity);
    device::FenceProducts(outputs, weights);
    IssueOutputs(outputs, weights, values.Advance(value_turn.stage * kRoundBytes));
    // All warps are done with these queries: the next ones come while the outputs are finished.
    device::WaitAtBarrier(kQueries + group, kWarpgroupThreads);
    Item next;
    more = items.Next(next);
    if (more) CopyQueries(p, next, group, thread, queries_at);
    device::WaitProducts<0>(outputs, weights);
    free_stage(barriers.values_free[value_turn.stage]);
    value_turn.Next();
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

// ---- pieces

constexpr int kCombineRows = 8;  // a block; a warp each

// Rows of items whose context was cut: the mean of the pieces, each with its weight relative to the
// largest maximum, in order. 4 values a lane.
__global__ void __launch_bounds__(32 * kCombineRows)
    CombinePiecesKernel(PrefillAttention p, int most_pieces) {
  static_assert(kHeadDim == 4 * 32);
  constexpr int kItemBlocks = kRows / kCombineRows;
  const int within = static_cast<int>(blockIdx.x) / kItemBlocks;
  const int row = static_cast<int>(blockIdx.x) % kItemBlocks * kCombineRows +
                  static_cast<int>(threadIdx.x) / 32;
  const Item item(p, p.tiles[blockIdx.y], within, 0, most_pieces);
  if (item.pieces < 2 || item.Token(row) >= item.tile.num_tokens) return;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const float scale_log2 = p.scale * kLog2E;
  const int64_t to = item.Row(p, row);
  float maximum = -INFINITY;
#pragma unroll 8
  for (int piece = 0; piece < item.pieces; ++piece) {
    maximum = fmaxf(maximum, p.workspace.partial_sums[PartialRow(p, piece, to)].x);
  }
  float sum = 0.0f;
  float4 out = {};
#pragma unroll 4
  for (int piece = 0; piece < item.pieces; ++piece) {
    const int64_t from = PartialRow(p, piece, to);
    const float2 sums = p.workspace.partial_sums[from];
    const float weight = FastExp2((sums.x - maximum) * scale_log2);
    const float4 part =
        reinterpret_cast<const float4*>(p.workspace.partial_out + from * kHeadDim)[lane];
    sum += weight * sums.y;
    out.x += weight * part.x;
    out.y += weight * part.y;
    out.z += weight * part.z;
    out.w += weight * part.w;
  }
  const float inverse = 1.0f / sum;
  device::Store4Bf16(p.out + to * kHeadDim + 4 * lane,
                     {out.x * inverse, out.y * inverse, out.z * inverse, out.w * inverse});
}

// How many pieces let the multiprocessors finish first, if all contexts were as long as the
// longest.
int ChoosePieces(const PrefillAttention& p) {
  const int64_t rows = int64_t{p.num_tokens} * p.num_q_heads;
  const int64_t most = std::min<int64_t>({kMaxPieces, p.max_slots / kRoundSlots / kMinPieceRounds,
                                          p.workspace.rows / std::max<int64_t>(rows, 1)});
  // Items that have rows, at least.
  const int64_t items = std::max<int64_t>(int64_t{p.num_tiles} * p.pages.num_kv_heads,
                                          int64_t{p.tile_tokens} * p.num_q_heads / kRows);
  const int64_t sms = p.num_sms;
  // In rounds of a whole context; a cut costs about three rounds more.
  const double rounds = std::max(1, p.max_slots / kRoundSlots);
  const auto cost = [&](int64_t pieces) {
    const auto turns = static_cast<double>((items * pieces + sms - 1) / sms);
    return turns * (rounds / static_cast<double>(pieces) + 0.5) + (pieces > 1 ? 3.0 : 0.0);
  };
  int64_t best = 1;
  for (int64_t pieces = 2; pieces <= most; ++pieces) {
    if (cost(pieces) < cost(best)) best = pieces;
  }
  return static_cast<int>(best);
}

}  // namespace

int64_t PrefillPartialRows(int num_sms) { return int64_t{kPiecesPerSm} * num_sms * kRows; }

LaunchResult RunPrefillAttention(const PrefillAttention& attention, cudaStream_t stream) {
  const int num_kv_heads = attention.pages.num_kv_heads;
  if (num_kv_heads < 1 || attention.num_q_heads % num_kv_heads != 0) {
    return InvalidArguments("prefill attention: the query heads are no multiple of the KV heads");
  }
  if (attention.num_tiles > 65535)
    return InvalidArguments("prefill attention: more than 65,535 tiles");
  if (attention.num_sms < 1) return InvalidArguments("prefill attention: no multiprocessors");
  if (attention.num_tiles == 0) return {};
  Parameters parameters = {attention, ChoosePieces(attention), {}, {}};
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
  const dim3 blocks(static_cast<unsigned>(attention.num_q_heads * kRows / kCombineRows),
                    static_cast<unsigned>(attention.num_tiles));
  return AfterLaunch(device::Launch(CombinePiecesKernel, blocks, 32 * kCombineRows, 0, stream,
                                    attention, parameters.pieces),
                     "prefill attention's pieces");
}

}  // namespace sluice::kernels::attention
