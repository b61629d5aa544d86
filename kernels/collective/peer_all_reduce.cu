// SPDX-License-Identifier: Apache-2.0
#include "kernels/collective/peer_all_reduce.h"

#include <algorithm>

#include "kernels/collective/peer_launch.h"
#include "kernels/collective/peer_turn.cuh"
#include "kernels/device/launch.cuh"
#include "kernels/host/is_aligned.h"

namespace sluice::kernels::collective {
namespace {

constexpr int kMaxThreads = 512;
constexpr int kGathered = 4;  // sums that a thread waits for together

// A buffer: [ranks][vectors].
template <int kWorld>
__global__ void __launch_bounds__(kMaxThreads, 1)
    OneShotKernel(const __grid_constant__ PeerGroup group,
                  const __grid_constant__ awq::LinearOutput part, float4* out, int begin,
                  int vectors) {
  device::BeginChained();
  Turn turn(group);
  const Vectors own = OfThread();
  for (int i = own.first; i < vectors; i += own.stride) {
    turn.SendToAll<kWorld>(int64_t{group.rank} * vectors + i, Sendable(LoadPart(part, begin + i)));
  }
  turn.Pass(int64_t{kWorld} * vectors);
  const uint4* const received = turn.BufferOf(group.rank);
  for (int i = own.first; i < vectors; i += own.stride) {
    out[begin + i] = AwaitSum<kWorld>(turn, received + i, vectors);
  }
}

// A buffer: [ranks][share], parts of this rank's share; then [vectors], the sums. The last shares
// may be shorter, or empty.
template <int kWorld>
__global__ void __launch_bounds__(kMaxThreads, 1)
    TwoShotKernel(const __grid_constant__ PeerGroup group,
                  const __grid_constant__ awq::LinearOutput part, float4* out, int begin,
                  int vectors) {
  device::BeginChained();
  Turn turn(group);
  const int share = (vectors + kWorld - 1) / kWorld;
  SendShares<kWorld, true>(turn, part, begin, vectors, share);
  const int64_t sums = int64_t{kWorld} * share;
  turn.Pass(sums + vectors);
  const uint4* const received = turn.BufferOf(group.rank);
  const Vectors own = OfThread();
  const int own_share = group.rank * share;
  for (int i = own.first; i < share && own_share + i < vectors; i += own.stride) {
    turn.SendToAll<kWorld>(sums + own_share + i,
                           Sendable(AwaitSum<kWorld>(turn, received + i, share)));
  }
  AwaitEach<kGathered>(turn, received + sums, vectors,
                       [&](int i, uint4 sum) { out[begin + i] = BitsAsFloats(sum); });
}

struct Shape {
  int blocks, threads;
};

// Small blocks while there are multiprocessors for them.
Shape ShapeFor(int vectors, int num_sms) {
  for (const int threads : {64, 128, 256, kMaxThreads}) {
    const int blocks = (vectors + threads - 1) / threads;
    if (blocks <= num_sms) return {blocks, threads};
  }
  return {num_sms, kMaxThreads};
}

// Of the vectors from `begin` on.
template <int kWorld>
cudaError_t LaunchFor(const PeerAllReduce& operation, int begin, int vectors, cudaStream_t stream) {
  const Shape shape = ShapeFor(vectors, operation.num_sms);
  // Chained kernels behind it start once all of its blocks have, so none of them waits for room
  // while the others wait for peers.
  return device::LaunchChained(
      operation.algorithm == PeerAlgorithm::kOneShot ? OneShotKernel<kWorld>
                                                     : TwoShotKernel<kWorld>,
      static_cast<unsigned>(shape.blocks), static_cast<unsigned>(shape.threads), 0, stream,
      operation.group, operation.part, reinterpret_cast<float4*>(operation.out), begin, vectors);
}

}  // namespace

int64_t PeerCapacity(PeerAlgorithm algorithm, int world_size, int64_t vectors) {
  // Two-shot: all ranks' parts of a share, and all shares' sums.
  return algorithm == PeerAlgorithm::kOneShot ? 4 * (vectors / world_size)
                                              : 4 * (vectors / 2 / world_size * world_size);
}

LaunchResult RunPeerAllReduce(const PeerAllReduce& operation, cudaStream_t stream) {
  const awq::LinearOutput& part = operation.part;
  const LaunchResult checked =
      CheckPeerSum(operation.group, operation.algorithm, part, operation.num_sms);
  if (!checked.ok()) return checked;
  if (!IsAligned(operation.out, 16)) {
    return InvalidArguments("all-reduce over peers: the sum must be aligned to 16 bytes");
  }
  const auto vectors = static_cast<int>(int64_t{part.rows} * part.outputs / 4);
  const auto capacity = static_cast<int>(std::min<int64_t>(
      vectors,
      PeerCapacity(operation.algorithm, operation.group.world_size, operation.group.vectors) / 4));
  LaunchResult result;
  for (int begin = 0; begin < vectors && result.ok(); begin += capacity) {
    result = LaunchForWorld(
        operation.group.world_size,
        [&](auto world) {
          return LaunchFor<decltype(world)::value>(operation, begin,
                                                   std::min(capacity, vectors - begin), stream);
        },
        "all-reduce over peers");
  }
  return result;
}

}  // namespace sluice::kernels::collective
