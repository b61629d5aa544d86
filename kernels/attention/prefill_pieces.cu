// SPDX-License-Identifier: Apache-2.0
#include "kernels/attention/prefill_pieces.h"

#include <algorithm>
#include <cstdint>
#include <numbers>

#include "kernels/attention/prefill_items.cuh"
#include "kernels/device/alu.cuh"
#include "kernels/device/bf16.cuh"
#include "kernels/device/launch.cuh"

namespace sluice::kernels::attention {
namespace {

constexpr int kMaxPieces = 32;
// Pieces of all items that are worth their partial results, a multiprocessor.
constexpr int kPiecesPerSm = 5;
constexpr int kCombineRows = 8;  // a block; a warp each

// Rows of items whose context was cut: the mean of the pieces, each with its weight relative to the
// largest maximum, in order. 4 values a lane.
__global__ void __launch_bounds__(32 * kCombineRows)
    CombinePiecesKernel(PrefillAttention p, int most_pieces) {
  static_assert(kHeadDim == 4 * 32);
  constexpr int kItemBlocks = kItemRows / kCombineRows;
  const int within = static_cast<int>(blockIdx.x) / kItemBlocks;
  const int row = static_cast<int>(blockIdx.x) % kItemBlocks * kCombineRows +
                  static_cast<int>(threadIdx.x) / 32;
  const PrefillItem item(p, p.tiles[blockIdx.y], within, 0, most_pieces);
  if (item.pieces < 2 || item.Token(row) >= item.tile.num_tokens) return;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const float scale_log2 = p.scale * std::numbers::log2e_v<float>;
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
    const float weight = device::FastExp2((sums.x - maximum) * scale_log2);
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

}  // namespace

int64_t PrefillPartialRows(int num_sms) { return int64_t{kPiecesPerSm} * num_sms * kItemRows; }

// Which number lets the multiprocessors finish first, if all contexts were as long as the
// longest.
int ChoosePrefillPieces(const PrefillAttention& p) {
  const int64_t rows = int64_t{p.num_tokens} * p.num_q_heads;
  const int64_t most = std::min<int64_t>({kMaxPieces, p.max_slots / kRoundSlots / kMinPieceRounds,
                                          p.workspace.rows / std::max<int64_t>(rows, 1)});
  // Items that have rows, at least.
  const int64_t items = std::max<int64_t>(int64_t{p.num_tiles} * p.pages.num_kv_heads,
                                          int64_t{p.tile_tokens} * p.num_q_heads / kItemRows);
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

LaunchResult CombinePrefillPieces(const PrefillAttention& attention, int pieces,
                                  cudaStream_t stream) {
  const dim3 blocks(static_cast<unsigned>(attention.num_q_heads * kItemRows / kCombineRows),
                    static_cast<unsigned>(attention.num_tiles));
  return AfterLaunch(
      device::Launch(CombinePiecesKernel, blocks, 32 * kCombineRows, 0, stream, attention, pieces),
      "prefill attention's pieces");
}

}  // namespace sluice::kernels::attention
