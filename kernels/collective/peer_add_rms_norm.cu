// SPDX-License-Identifier: Apache-2.0
#include "kernels/collective/peer_add_rms_norm.h"

#include <algorithm>
#include <cstdint>

#include "kernels/awq/linear_output.cuh"
#include "kernels/collective/peer_launch.h"
#include "kernels/collective/peer_turn.cuh"
#include "kernels/device/bf16.cuh"
#include "kernels/device/float4.cuh"
#include "kernels/device/launch.cuh"
#include "kernels/device/reduce.cuh"
#include "kernels/host/is_aligned.h"

namespace sluice::kernels::collective {
namespace {

constexpr int kMaxThreads = 640;  // 5,120 values in eights
constexpr int kOctets = 2;        // eights of a row that a thread has, at most
constexpr int kMaxWidth = 8 * kOctets * kMaxThreads;
constexpr int kGathered = 4;  // eights that a thread waits for together

// The rows of one turn.
struct Rows {
  int begin, count;
  int share;    // of a rank; the last ones' may be fewer, or none
  int vectors;  // of a row: fours of fp32

  __device__ int octets() const { return vectors / 2; }
  __device__ int FirstOf(int rank) const { return min(rank * share, count); }
  __device__ int CountOf(int rank) const { return FirstOf(rank + 1) - FirstOf(rank); }
};

// What the kernel writes and reads beside the parts.
struct Norm {
  float4* residual;
  uint4* out;  // eights of bf16
  const __nv_bfloat16* weight;
  float eps;
};

// Sums, adds and norms one of this rank's rows, and sends it to the others. sums: where their parts
// come in. normed: where normed rows begin.
template <int kWorld>
__device__ void NormRow(Turn& turn, const awq::LinearOutput& part, const Norm& norm,
                        const Rows& rows, int row, const uint4* sums, int64_t normed,
                        float* scratch) {
  const int octets = rows.octets();
  float4* const residual = norm.residual + (int64_t{rows.begin} + row) * rows.vectors;
  uint4* const out = norm.out + (int64_t{rows.begin} + row) * octets;
  float4 x[kOctets][2];
  float squares = 0.0f;
#pragma unroll
  for (int k = 0; k < kOctets; ++k) {
    const int octet = static_cast<int>(threadIdx.x + k * blockDim.x);
    if (octet >= octets) continue;
    float4 own[2];
    awq::OutputColumns<2, false>(part, {8 * octet, 8 * octet + 4}).Load(rows.begin + row, own);
#pragma unroll
    for (int side = 0; side < 2; ++side) {
      const int vector = 2 * octet + side;
      float4& value = x[k][side];
      value = residual[vector];
      device::AddTo(value, AwaitSumWith<kWorld>(own[side], turn, sums + vector,
                                                int64_t{rows.share} * rows.vectors));
      residual[vector] = value;
      squares += device::SumOfSquares(value);
    }
  }
  const float mean = device::BlockSum(squares, scratch) / static_cast<float>(4 * rows.vectors);
  const float factor = rsqrtf(mean + norm.eps);
#pragma unroll
  for (int k = 0; k < kOctets; ++k) {
    const int octet = static_cast<int>(threadIdx.x + k * blockDim.x);
    if (octet >= octets) continue;
    float4 y[2];
#pragma unroll
    for (int side = 0; side < 2; ++side) {
      const float4 weight = device::LoadConstant4Bf16(norm.weight + 8 * octet + 4 * side);
      y[side] = device::Product(weight, device::Scaled(x[k][side], factor));
    }
    const uint4 eight = {device::PackBf16(y[0].x, y[0].y), device::PackBf16(y[0].z, y[0].w),
                         device::PackBf16(y[1].x, y[1].y), device::PackBf16(y[1].z, y[1].w)};
    out[octet] = eight;
#pragma unroll
    for (int step = 1; step < kWorld; ++step) {  // not all to the same rank at once
      const int peer = (turn.rank() + step) % kWorld;
      const int place = row - (turn.rank() > peer ? rows.share : 0);  // its own rows take none
      turn.Send(peer, normed + int64_t{place} * octets + octet, Sendable(eight));
    }
  }
}

// A buffer: [others][share][vectors of a row], the others' parts of this rank's rows; then
// [other ranks' rows][eights of a row], the normed.
template <int kWorld>
__global__ void __launch_bounds__(kMaxThreads, 1)
    AddRmsNormKernel(const __grid_constant__ PeerGroup group,
                     const __grid_constant__ awq::LinearOutput part,
                     const __grid_constant__ Norm norm, const __grid_constant__ Rows rows) {
  __shared__ float scratch[kMaxThreads / device::kWarpSize];
  device::BeginChained();
  Turn turn(group);
  const int share = rows.share * rows.vectors, octets = rows.octets();
  SendShares<kWorld, false>(turn, part, rows.begin * rows.vectors, rows.count * rows.vectors,
                            share);
  const int64_t normed = int64_t{kWorld - 1} * share;
  const int first = rows.FirstOf(group.rank), own = rows.CountOf(group.rank);
  const int others = (rows.count - own) * octets;
  turn.Pass(normed + others);
  const uint4* const received = turn.BufferOf(group.rank);
  for (int i = static_cast<int>(blockIdx.x); i < own; i += static_cast<int>(gridDim.x)) {
    NormRow<kWorld>(turn, part, norm, rows, first + i, received + int64_t{i} * rows.vectors, normed,
                    scratch);
    __syncthreads();  // all have read scratch
  }
  uint4* const out = norm.out + int64_t{rows.begin} * octets;
  AwaitEach<kGathered>(turn, received + normed, others, [&](int i, uint4 value) {
    out[i < first * octets ? i : i + own * octets] = value;
  });
}

// As many rows as buffers of so many vectors hold, in as many for each rank.
int64_t MostRows(int world_size, int width, int64_t vectors) {
  const int64_t of_row = (world_size - 1) * int64_t{width / 4 + width / 8};  // of each rank's
  return vectors / of_row * world_size;
}

}  // namespace

bool TakesPeerAddRmsNorm(int world_size, int width, int64_t vectors) {
  return world_size > 1 && width % 8 == 0 && width > 0 && width <= kMaxWidth &&
         MostRows(world_size, width, vectors) > 0;
}

LaunchResult RunPeerAddRmsNorm(const PeerAddRmsNorm& operation, cudaStream_t stream) {
  const PeerGroup& group = operation.group;
  const norm::AddRmsNorm& norm = operation.norm;
  if (norm.delta == nullptr || norm.delta->outputs != norm.width || norm.delta->rows != norm.rows) {
    return InvalidArguments("norm over peers: a part of the residual's shape is needed");
  }
  if (!TakesPeerAddRmsNorm(group.world_size, norm.width, group.vectors)) {
    return InvalidArguments("norm over peers: a width, buffers or ranks that it is not for");
  }
  const LaunchResult checked = CheckPart(*norm.delta, operation.num_sms);
  if (!checked.ok()) return checked;
  if (norm.residual == nullptr || norm.weight == nullptr || norm.out == nullptr) {
    return InvalidArguments("norm over peers: residual, weight and out are needed");
  }
  if (!IsAligned(norm.residual, 16) || !IsAligned(norm.out, 16) || !IsAligned(norm.weight, 8)) {
    return InvalidArguments(
        "norm over peers: residual and out must be aligned to 16 bytes, the weight to 8");
  }
  const auto most =
      static_cast<int>(std::min<int64_t>(MostRows(group.world_size, norm.width, group.vectors),
                                         std::max(norm.rows, group.world_size)));
  const int turns = (norm.rows + most - 1) / most;
  const int octets = norm.width / 8;
  const int threads = std::min(
      kMaxThreads, (octets + device::kWarpSize - 1) / device::kWarpSize * device::kWarpSize);
  LaunchResult result;
  for (int turn = 0, begin = 0; turn < turns && result.ok(); ++turn) {
    // As even as they can be.
    const int left = norm.rows - begin, left_turns = turns - turn;
    const int count = (left + left_turns - 1) / left_turns;
    const Rows rows = {begin, count, (count + group.world_size - 1) / group.world_size,
                       norm.width / 4};
    const int needed = (rows.count * rows.vectors + threads - 1) / threads;
    result = LaunchForWorld(
        group.world_size,
        [&](auto world) {
          return device::LaunchChained(
              AddRmsNormKernel<decltype(world)::value>,
              static_cast<unsigned>(std::min(needed, operation.num_sms)),
              static_cast<unsigned>(threads), 0, stream, group, *norm.delta,
              Norm{reinterpret_cast<float4*>(norm.residual), reinterpret_cast<uint4*>(norm.out),
                   norm.weight, norm.eps},
              rows);
        },
        "norm over peers");
    begin += count;
  }
  return result;
}

}  // namespace sluice::kernels::collective
