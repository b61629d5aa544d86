// SPDX-License-Identifier: Apache-2.0
// How what the warps of a block, and then the blocks, have of a segment becomes one output. Each
// part is an unnormalized output with the maximum and the sum of its weights; parts are brought to
// the largest maximum and added up in the order of warps and blocks, so the same plan gives the
// same bits.
#pragma once

#include <cstdint>

#include "kernels/attention/decode_units.cuh"
#include "kernels/device/arrival.cuh"
#include "kernels/device/bf16.cuh"

namespace sluice::kernels::attention {

constexpr int kDecodeWarps = 8;  // of a block

// What the warps have of a row and KV head meets in shared memory. Heads lie so that the four that
// a warp writes at a time fall into different banks.
constexpr int kMergeStride = kHeadDim + 4;
struct Merge {
  float out[kDecodeWarps][kMaxGroup][kMergeStride];
  float2 sums[kDecodeWarps][kMaxGroup];  // maximum, sum
  int last_to_arrive;
};

// A block's piece of a segment. A block has pieces of at most two that others have pieces of, too:
// its first and its last.
struct Piece {
  float* out;    // [kMaxGroup][kHeadDim]
  float2* sums;  // [kMaxGroup]: maximum, sum
};

// begins: the segment begins in the block.
__device__ inline Piece PieceOf(const DecodeWorkspace& workspace, int block, bool begins) {
  const int64_t place = (2 * int64_t{block} + (begins ? 1 : 0)) * kMaxGroup;
  return {workspace.partial_out + place * kHeadDim, workspace.partial_sums + place};
}

__device__ inline void AddScaled(const float4& add, float add_sum, float weight, float4* out,
                                 float* sum) {
  *sum += add_sum * weight;
  out->x += add.x * weight;
  out->y += add.y * weight;
  out->z += add.z * weight;
  out->w += add.w * weight;
}

// Adds up what warps have left for merging, in their order, once all have: to the piece, or if that
// is null to the output. warps: a bit for each that has. The block calls it; a warp adds up a head.
__device__ inline void MergeWarps(const DecodeAttention& p, const Segment& segment, unsigned warps,
                                  const Merge& merge, const Piece* piece) {
  __syncthreads();
  const int group = p.num_q_heads / p.pages.num_kv_heads;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int head = static_cast<int>(threadIdx.x) / 32;
  static_assert(kMaxGroup <= kDecodeWarps && kHeadDim == 4 * 32);
  if (head < group) {
    // All are loaded before any is used.
    float2 sums[kDecodeWarps];
    float4 outs[kDecodeWarps];
    float maximum = -INFINITY;
#pragma unroll
    for (int warp = 0; warp < kDecodeWarps; ++warp) {
      const bool has = (warps >> warp & 1) != 0;
      sums[warp] = has ? merge.sums[warp][head] : float2{-INFINITY, 0.0f};
      outs[warp] = has ? reinterpret_cast<const float4*>(merge.out[warp][head])[lane] : float4{};
      maximum = fmaxf(maximum, sums[warp].x);
    }
    float sum = 0.0f;
    float4 out = {};
#pragma unroll
    for (int warp = 0; warp < kDecodeWarps; ++warp) {
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
__device__ inline void CombinePieces(const DecodeAttention& p, const Segment& segment,
                                     int first_block, int num_pieces, Merge& merge) {
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
  for (int i = warp; i < num_pieces; i += kAtOnce * kDecodeWarps) {
    float2 sums[kAtOnce][kMaxGroup];
    float4 outs[kAtOnce][kMaxGroup];
#pragma unroll
    for (int ahead = 0; ahead < kAtOnce; ++ahead) {
      const int index = i + ahead * kDecodeWarps;
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
  const unsigned warps = num_pieces >= kDecodeWarps ? 0xffu : (1u << num_pieces) - 1;
  MergeWarps(p, segment, warps, merge, nullptr);
}

// What the warps have left of units begin .. end - 1, of a segment, becomes the output, if need be
// with what other blocks have: the last of them to arrive adds up. The block calls it.
__device__ inline void Finish(const DecodeAttention& p, const DecodeShare& share,
                              const Segment& segment, int begin, int end, Merge& merge) {
  unsigned warps = 0;
  for (int unit = begin; unit < min(end, begin + kDecodeWarps); ++unit) {
    warps |= 1u << (unit - share.begin) % kDecodeWarps;
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

}  // namespace sluice::kernels::attention
