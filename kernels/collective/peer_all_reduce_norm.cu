// SPDX-License-Identifier: Apache-2.0
#include "kernels/collective/peer_all_reduce_norm.h"

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

constexpr int kMaxThreads = 512;

// How rows are cut: a block has one part of one row, neighbouring vectors of four values.
struct Parts {
  int row_vectors;
  int count;    // of a row
  int vectors;  // of a part; the last one of a row may have fewer
};

// A buffer is one-shot's: [ranks][rows][vectors of a row].
template <int kWorld>
__global__ void __launch_bounds__(kMaxThreads, 1)
    AllReduceNormKernel(const __grid_constant__ PeerGroup group,
                        const __grid_constant__ awq::LinearOutput part,
                        const __grid_constant__ ScaledNorm norm, Parts parts) {
  __shared__ float scratch[kMaxThreads / device::kWarpSize];
  device::LetNextStart();
  const int row = static_cast<int>(blockIdx.x) / parts.count;
  const int own = static_cast<int>(blockIdx.x) - row * parts.count;
  const int thread = static_cast<int>(threadIdx.x), threads = static_cast<int>(blockDim.x);
  const int before = row * parts.row_vectors;  // vectors of the rows before
  const int first = before + own * parts.vectors + thread;
  const int end = before + min((own + 1) * parts.vectors, parts.row_vectors);
  // What can be done for the first vector is, before anything is waited for. Mostly there is no
  // other.
  const int safe = min(first, end - 1);
  float4 weight = device::LoadConstant4Bf16(norm.weight + 4 * (safe - before));
  awq::OutputColumns<1, false> columns(part, {4 * (safe - before)});
  device::WaitForPrevious();

  auto* const residual = reinterpret_cast<float4*>(norm.residual);
  float4 x = residual[safe];
  Turn turn(group);
  const int vectors = part.rows * parts.row_vectors;
  for (int i = first; i < end; i += threads) {
    if (i != first) columns.MoveTo({4 * (i - before)});
    float4 value[1];
    columns.Load(row, value);
    turn.SendToAll<kWorld>(int64_t{group.rank} * vectors + i, Sendable(value[0]));
  }
  turn.Pass(int64_t{kWorld} * vectors);
  const uint4* const received = turn.BufferOf(group.rank);
  float squares = 0.0f;
  for (int i = first; i < end; i += threads) {
    if (i != first) {
      weight = device::LoadConstant4Bf16(norm.weight + 4 * (i - before));
      x = residual[i];
    }
    device::AddTo(x, AwaitSum<kWorld>(turn, received + i, vectors));
    residual[i] = x;
    device::Store4Bf16(norm.out + int64_t{4} * i, device::Product(weight, x));
    squares += device::SumOfSquares(x);
  }
  squares = device::BlockSum(squares, scratch);
  float* const row_squares = norm.squares + row * awq::kRowParts;
  if (thread == 0) row_squares[own] = squares;
  if (own == 0 && thread >= parts.count && thread < awq::kRowParts) row_squares[thread] = 0.0f;
}

// Small blocks while there are multiprocessors for them: a row's then find room, as they are
// launched, beside a small linear's (docs/kernels.md, "Chained kernels").
Parts PartsFor(const awq::LinearOutput& part, int num_sms) {
  constexpr int kLeastThreads = 64;
  const int row_vectors = part.outputs / 4;
  const int count = std::min(
      {(row_vectors + kLeastThreads - 1) / kLeastThreads, num_sms / part.rows, awq::kRowParts});
  return {row_vectors, count, (row_vectors + count - 1) / count};
}

// As few as do a part in the turns that the most threads would take.
int ThreadsFor(const Parts& parts) {
  const int turns = (parts.vectors + kMaxThreads - 1) / kMaxThreads;
  const int needed = (parts.vectors + turns - 1) / turns;
  return (needed + device::kWarpSize - 1) / device::kWarpSize * device::kWarpSize;
}

}  // namespace

bool TakesPeerAllReduceNorm(int rows, int num_sms) {
  return rows <= std::min(num_sms, awq::kMaxScaledRows);
}

LaunchResult RunPeerAllReduceNorm(const PeerAllReduceNorm& operation, cudaStream_t stream) {
  const awq::LinearOutput& part = operation.part;
  const LaunchResult checked =
      CheckPeerSum(operation.group, PeerAlgorithm::kOneShot, part, operation.num_sms);
  if (!checked.ok()) return checked;
  if (!TakesPeerAllReduceNorm(part.rows, operation.num_sms)) {
    return InvalidArguments("all-reduce and norm: more rows than have scales or blocks at once");
  }
  const ScaledNorm& norm = operation.norm;
  if (norm.residual == nullptr || norm.weight == nullptr || norm.out == nullptr ||
      norm.squares == nullptr) {
    return InvalidArguments("all-reduce and norm: residual, weight, out and squares are needed");
  }
  if (!IsAligned(norm.residual, 16) || !IsAligned(norm.squares, 16) || !IsAligned(norm.weight, 8) ||
      !IsAligned(norm.out, 8)) {
    return InvalidArguments("all-reduce and norm: fp32 must be aligned to 16 bytes, bf16 to 8");
  }
  if (part.rows == 0 || part.outputs == 0) return {};
  const Parts parts = PartsFor(part, operation.num_sms);
  return LaunchForWorld(
      operation.group.world_size,
      [&](auto world) {
        return device::LaunchChained(AllReduceNormKernel<decltype(world)::value>,
                                     static_cast<unsigned>(part.rows * parts.count),
                                     static_cast<unsigned>(ThreadsFor(parts)), 0, stream,
                                     operation.group, part, operation.norm, parts);
      },
      "all-reduce over peers and norm");
}

}  // namespace sluice::kernels::collective
