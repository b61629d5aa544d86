// SPDX-License-Identifier: Apache-2.0
#include "kernels/attention/prefill_attention.h"
#include "kernels/device/async_copy.cuh"
#include "kernels/device/launch.cuh"
#include "kernels/device/mma.cuh"

namespace sluice::kernels::attention {
namespace {

constexpr int kWarps = kPrefillTileTokens / 16;
constexpr int kThreads = 32 * kWarps;
// A row of shared memory is a token's head and 16 bytes: ldmatrix's eight rows of 16 bytes then
// fall into different banks.
constexpr int kRowBytes = kHeadDim * 2 + 16;
constexpr int kQueryBytes = kPrefillTileTokens * kRowBytes;
constexpr int kMatrixBytes = kPageSlots * kRowBytes;
constexpr int kStages = 2;
constexpr int kSharedBytes = kQueryBytes + kStages * 2 * kMatrixBytes;
static_assert(2 * kSharedBytes <= 227 * 1024, "two blocks share a multiprocessor");
constexpr int kVectors = kHeadDim * 2 / 16;  // of 16 bytes, a token's head
constexpr int kKSteps = kHeadDim / 16;
// Scores of so many slots are in registers at once: with a whole page's they would not fit.
constexpr int kRoundSlots = kPageSlots / 2;
constexpr int kSlotTiles = kRoundSlots / 8;
constexpr int kOutTiles = kHeadDim / 8;
constexpr float kLog2E = 1.4426950408889634f;

__device__ void CopyQueries(const PrefillAttention& p, const PrefillTile& tile, int head,
                            uint8_t* shared) {
  for (int i = static_cast<int>(threadIdx.x); i < kPrefillTileTokens * kVectors; i += kThreads) {
    const int token = i / kVectors, column = i % kVectors;
    const bool use = token < tile.num_tokens;
    const int64_t from =
        (int64_t{tile.first_token + (use ? token : 0)} * p.num_q_heads + head) * kHeadDim +
        column * 8;
    device::CopyAsync16OrZero(shared + token * kRowBytes + column * 16, p.q + from, use);
  }
}

// num_slots: of the page; those from there on become zeros: what lies there may be anything.
__device__ void CopyPage(const PrefillAttention& p, int page, int kv_head, int num_slots,
                         uint8_t* stage) {
  constexpr int kSlotStep = kThreads / kVectors;
  static_assert(kPageSlots % kSlotStep == 0);
  const int slot = static_cast<int>(threadIdx.x) / kVectors;
  const int column = static_cast<int>(threadIdx.x) % kVectors;
  const int64_t offset = p.pages.Offset(page, kv_head, slot) + column * 8;
  const __nv_bfloat16* keys = p.pages.keys + offset;
  const __nv_bfloat16* values = p.pages.values + offset;
  uint8_t* to = stage + slot * kRowBytes + column * 16;
#pragma unroll
  for (int step = 0; step < kPageSlots; step += kSlotStep) {
    const bool use = slot + step < num_slots;
    device::CopyAsync16OrZero(to + step * kRowBytes, keys + step * kHeadDim, use);
    device::CopyAsync16OrZero(to + step * kRowBytes + kMatrixBytes, values + step * kHeadDim, use);
  }
}

// A warp's 16 queries; a lane knows of queries g and g + 8. Maxima are of scores times scale *
// log2(e).
struct Softmax {
  float maximum[2] = {-INFINITY, -INFINITY};
  float sum[2] = {0.0f, 0.0f};  // of this lane's slots alone, until the end
  float out[kOutTiles][4] = {};
};

__device__ float MaxOfQuad(float value) {
  value = fmaxf(value, __shfl_xor_sync(0xffffffffu, value, 1));
  return fmaxf(value, __shfl_xor_sync(0xffffffffu, value, 2));
}

__device__ float SumOfQuad(float value) {
  value += __shfl_xor_sync(0xffffffffu, value, 1);
  return value + __shfl_xor_sync(0xffffffffu, value, 2);
}

__device__ void Scores(const uint8_t* queries, const uint8_t* keys, int lane,
                       float (&scores)[kSlotTiles][4]) {
  const uint8_t* query_row = queries + (lane / 8 % 2 * 8 + lane % 8) * kRowBytes + lane / 16 * 16;
  const uint8_t* key_row = keys + (lane / 16 * 8 + lane % 8) * kRowBytes + lane / 8 % 2 * 16;
#pragma unroll
  for (int step = 0; step < kKSteps; ++step) {
    uint32_t a[4];
    device::LoadMatrix4(a, query_row + step * 32);
#pragma unroll
    for (int pair = 0; pair < kSlotTiles / 2; ++pair) {
      uint32_t b[4];
      device::LoadMatrix4(b, key_row + pair * 16 * kRowBytes + step * 32);
      device::Mma16x8x16(scores[2 * pair], a, {b[0], b[1]});
      device::Mma16x8x16(scores[2 * pair + 1], a, {b[2], b[3]});
    }
  }
}

// Turns scores into weights relative to the new maximum. last_slot[i]: of the round, the last one
// that query g + 8 i may see, may be negative or beyond the round.
__device__ void Weigh(float (&scores)[kSlotTiles][4], const int (&last_slot)[2], float scale_log2,
                      int lane, Softmax& state) {
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    float maximum = state.maximum[i];
#pragma unroll
    for (int tile = 0; tile < kSlotTiles; ++tile) {
#pragma unroll
      for (int j = 0; j < 2; ++j) {
        const int slot = 8 * tile + 2 * (lane % 4) + j;
        float& score = scores[tile][2 * i + j];
        score = slot <= last_slot[i] ? score * scale_log2 : -INFINITY;
        maximum = fmaxf(maximum, score);
      }
    }
    maximum = MaxOfQuad(maximum);
    // A round of which this query sees nothing leaves everything as it is.
    const float base = maximum == -INFINITY ? 0.0f : maximum;
    const float rescale = exp2f(state.maximum[i] - base);
    state.maximum[i] = maximum;
    float sum = 0.0f;
#pragma unroll
    for (int tile = 0; tile < kSlotTiles; ++tile) {
#pragma unroll
      for (int j = 0; j < 2; ++j) {
        float& score = scores[tile][2 * i + j];
        score = exp2f(score - base);
        sum += score;
      }
    }
    state.sum[i] = state.sum[i] * rescale + sum;
#pragma unroll
    for (int tile = 0; tile < kOutTiles; ++tile) {
      state.out[tile][2 * i] *= rescale;
      state.out[tile][2 * i + 1] *= rescale;
    }
  }
}

__device__ void AddValues(const float (&weights)[kSlotTiles][4], const uint8_t* values, int lane,
                          Softmax& state) {
  const uint8_t* value_row = values + (lane / 8 % 2 * 8 + lane % 8) * kRowBytes + lane / 16 * 16;
#pragma unroll
  for (int step = 0; step < kRoundSlots / 16; ++step) {
    const float(&low)[4] = weights[2 * step];
    const float(&high)[4] = weights[2 * step + 1];
    const uint32_t a[4] = {device::PackBf16(low[0], low[1]), device::PackBf16(low[2], low[3]),
                           device::PackBf16(high[0], high[1]), device::PackBf16(high[2], high[3])};
#pragma unroll
    for (int pair = 0; pair < kOutTiles / 2; ++pair) {
      uint32_t b[4];
      device::LoadMatrix4Transposed(b, value_row + step * 16 * kRowBytes + pair * 32);
      device::Mma16x8x16(state.out[2 * pair], a, {b[0], b[1]});
      device::Mma16x8x16(state.out[2 * pair + 1], a, {b[2], b[3]});
    }
  }
}

__global__ void __launch_bounds__(kThreads, 2) PrefillAttentionKernel(PrefillAttention p) {
  uint8_t* const shared = device::DynamicShared();
  const PrefillTile tile = p.tiles[blockIdx.y];
  const int head = static_cast<int>(blockIdx.x);
  const int kv_head = head / (p.num_q_heads / p.pages.num_kv_heads);
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  const int end = tile.first_position + tile.num_tokens;
  const int num_pages = (end + kPageSlots - 1) / kPageSlots;
  uint8_t* stages = shared + kQueryBytes;

  CopyQueries(p, tile, head, shared);
  const int32_t* pages = p.page_tables + int64_t{tile.row} * p.max_pages;
  CopyPage(p, pages[0], kv_head, end, stages);
  device::CommitCopies();
  // A page's number is read one round before its copy, which would wait for it.
  int next = num_pages > 1 ? pages[1] : 0;

  Softmax state;
  const float scale_log2 = p.scale * kLog2E;
  // Queries beyond the tile's tokens see what its last one sees; they are not written.
  const int query = warp * 16 + lane / 4;
  // That the warp's queries see; a warp without any copies pages for the others.
  const int last_position = warp * 16 < tile.num_tokens ? tile.first_position + warp * 16 + 15 : -1;
  for (int page = 0; page < num_pages; ++page) {
    device::WaitCopies<0>();
    // The page is there for all threads, and all have left the one before it, whose stage is next.
    __syncthreads();
    if (page + 1 < num_pages) {
      CopyPage(p, next, kv_head, end - (page + 1) * kPageSlots,
               stages + (page + 1) % kStages * 2 * kMatrixBytes);
      if (page + 2 < num_pages) next = pages[page + 2];
    }
    device::CommitCopies();
    const uint8_t* stage = stages + page % kStages * 2 * kMatrixBytes;
#pragma unroll 1
    for (int round = 0; round < kPageSlots; round += kRoundSlots) {
      if (page * kPageSlots + round > last_position) break;
      float scores[kSlotTiles][4] = {};
      Scores(shared + warp * 16 * kRowBytes, stage + round * kRowBytes, lane, scores);
      const int first = tile.first_position - page * kPageSlots - round;
      const int last_slot[2] = {first + query, first + query + 8};
      Weigh(scores, last_slot, scale_log2, lane, state);
      AddValues(scores, stage + round * kRowBytes + kMatrixBytes, lane, state);
    }
  }

#pragma unroll
  for (int i = 0; i < 2; ++i) {
    const float inverse = 1.0f / SumOfQuad(state.sum[i]);
    const int token = query + 8 * i;
    if (token >= tile.num_tokens) continue;
    auto* out = reinterpret_cast<__nv_bfloat162*>(
        p.out + (int64_t{tile.first_token + token} * p.num_q_heads + head) * kHeadDim);
#pragma unroll
    for (int j = 0; j < kOutTiles; ++j) {
      out[4 * j + lane % 4] =
          __floats2bfloat162_rn(state.out[j][2 * i] * inverse, state.out[j][2 * i + 1] * inverse);
    }
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
  if (attention.num_tiles == 0) return {};
  const cudaError_t error = device::AllowSharedBytes(PrefillAttentionKernel, kSharedBytes);
  if (error != cudaSuccess) return {.error = error, .problem = "cudaFuncSetAttribute"};
  const dim3 grid(static_cast<unsigned>(attention.num_q_heads),
                  static_cast<unsigned>(attention.num_tiles));
  return AfterLaunch(
      device::Launch(PrefillAttentionKernel, grid, kThreads, kSharedBytes, stream, attention),
      "prefill attention");
}

}  // namespace sluice::kernels::attention
