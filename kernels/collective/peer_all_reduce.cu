// SPDX-License-Identifier: Apache-2.0
#include "kernels/awq/linear_output.cuh"
#include "kernels/collective/peer_all_reduce.h"
#include "kernels/device/launch.cuh"
#include "kernels/device/peer_memory.cuh"

namespace sluice::kernels::collective {
namespace {

constexpr int kMaxThreads = 512;

struct Vectors {
  int first, stride;
};

__device__ Vectors OfThread() {
  return {static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x),
          static_cast<int>(gridDim.x * blockDim.x)};
}

// Four neighbouring values of this rank's part.
__device__ float4 LoadPart(const awq::LinearOutput& part, int vector) {
  const int row = 4 * vector / part.outputs;
  float4 value[1];
  awq::OutputColumns<1>(part, {4 * vector - row * part.outputs}).Load(row, value);
  return value[0];
}

__device__ uint32_t Sendable(float value) {
  const uint32_t bits = __float_as_uint(value);
  return bits == kAbsent ? 0x7fffffffu : bits;  // another NaN
}
__device__ uint4 Sendable(float4 value) {
  return {Sendable(value.x), Sendable(value.y), Sendable(value.z), Sendable(value.w)};
}

__device__ bool IsAbsent(uint4 value) {
  return value.x == kAbsent || value.y == kAbsent || value.z == kAbsent || value.w == kAbsent;
}

// The part of an operation that only its buffer's turn is about.
class Turn {
 public:
  __device__ explicit Turn(const PeerGroup& group)
      : group_(group),
        buffer_(Read(group.turn->buffer)),
        to_clear_(static_cast<int>(Read(group.turn->used))),
        aborted_(Read(group.turn->aborted) != 0) {}

  // Whether an operation before this one was told to give up. Looked at while waiting only: nothing
  // else has to wait until it is known.
  __device__ bool aborted() const { return aborted_; }
  // Whether the host now tells this one to.
  __device__ bool LearnsOfAbort() {
    if (device::LoadFromHost(group_.abort) == 0) return false;
    group_.turn->aborted = 1;
    aborted_ = true;
    return true;
  }

  // Into this operation's buffer of a rank. Nothing once it is to give up: peers wait until they
  // are told, too, rather than take what is no sum or of a later operation.
  __device__ void Send(int rank, int64_t at, uint4 value) const {
    if (!aborted_) device::StoreToPeer(BufferOf(rank) + at, value);
  }

  // This operation's buffer on a rank.
  __device__ uint4* BufferOf(int rank) const { return At(rank, buffer_); }

  // After this thread has sent its own. Clears what the last operation has read.
  // REQUIRES: all threads call it.
  __device__ void Pass(int64_t used) {
    // The vote is over what each thread has read, so that all of them have: both fields, since the
    // last block to arrive writes both.
    __syncthreads_or(buffer_ >= kPeerBuffers || to_clear_ < 0 ? 1 : 0);
    uint32_t before = 0;
    if (threadIdx.x == 0) before = atomicInc(&group_.turn->arrived, gridDim.x - 1);
    uint4* const last = At(group_.rank, buffer_ == 0 ? kPeerBuffers - 1 : buffer_ - 1);
    const Vectors own = OfThread();
    for (int i = own.first; i < to_clear_; i += own.stride) {
      last[i] = {kAbsent, kAbsent, kAbsent, kAbsent};
    }
    if (threadIdx.x != 0 || before != gridDim.x - 1) return;
    group_.turn->buffer = buffer_ + 1 == kPeerBuffers ? 0 : buffer_ + 1;
    group_.turn->used = static_cast<uint32_t>(used);
  }

 private:
  static __device__ uint32_t Read(const uint32_t& field) {
    return *static_cast<const volatile uint32_t*>(&field);
  }
  __device__ uint4* At(int rank, uint32_t buffer) const {
    return reinterpret_cast<uint4*>(group_.buffers[rank] + buffer * group_.vectors);
  }

  const PeerGroup& group_;
  const uint32_t buffer_;
  const int to_clear_;
  bool aborted_;
};

// value: what a first look at `at` has given.
__device__ float4 Await(Turn& turn, const uint4* at, uint4 value) {
  for (uint32_t waited = 1; IsAbsent(value) && !turn.aborted(); ++waited) {
    if (waited % device::kWaitTurnsPerLook == 0 && turn.LearnsOfAbort()) break;
    device::WaitTurn();
    value = device::LoadFromPeers(at);
  }
  return {__uint_as_float(value.x), __uint_as_float(value.y), __uint_as_float(value.z),
          __uint_as_float(value.w)};
}

// The sum over ranks, in their order, of what they have put at `at`, `apart` vectors apart.
template <int kWorld>
__device__ float4 AwaitSum(Turn& turn, const uint4* at, int64_t apart) {
  uint4 seen[kWorld];
#pragma unroll
  for (int rank = 0; rank < kWorld; ++rank) seen[rank] = device::LoadFromPeers(at + rank * apart);
  float4 sum = Await(turn, at, seen[0]);
#pragma unroll
  for (int rank = 1; rank < kWorld; ++rank) {
    const float4 part = Await(turn, at + rank * apart, seen[rank]);
    sum.x += part.x;
    sum.y += part.y;
    sum.z += part.z;
    sum.w += part.w;
  }
  return sum;
}

// A buffer: [ranks][vectors].
template <int kWorld>
__global__ void __launch_bounds__(kMaxThreads, 1)
    OneShotKernel(const __grid_constant__ PeerGroup group,
                  const __grid_constant__ awq::LinearOutput part, float* out, int vectors) {
  device::BeginChained();
  Turn turn(group);
  const Vectors own = OfThread();
  for (int i = own.first; i < vectors; i += own.stride) {
    const uint4 value = Sendable(LoadPart(part, i));
    const int64_t at = int64_t{group.rank} * vectors + i;
#pragma unroll
    for (int step = 0; step < kWorld; ++step) {  // not all to the same rank at once
      turn.Send((group.rank + step) % kWorld, at, value);
    }
  }
  turn.Pass(int64_t{kWorld} * vectors);
  const uint4* const received = turn.BufferOf(group.rank);
  for (int i = own.first; i < vectors; i += own.stride) {
    reinterpret_cast<float4*>(out)[i] = AwaitSum<kWorld>(turn, received + i, vectors);
  }
}

// A buffer: [ranks][share], parts of this rank's share; then [vectors], the sums. The last shares
// may be shorter, or empty.
template <int kWorld>
__global__ void __launch_bounds__(kMaxThreads, 1)
    TwoShotKernel(const __grid_constant__ PeerGroup group,
                  const __grid_constant__ awq::LinearOutput part, float* out, int vectors) {
  device::BeginChained();
  Turn turn(group);
  const Vectors own = OfThread();
  const int share = (vectors + kWorld - 1) / kWorld;
  for (int step = 0; step < kWorld; ++step) {
    const int peer = (group.rank + step) % kWorld;
    const int64_t to = int64_t{group.rank} * share;
    const int begin = peer * share;
    for (int i = own.first; i < share && begin + i < vectors; i += own.stride) {
      turn.Send(peer, to + i, Sendable(LoadPart(part, begin + i)));
    }
  }
  const int64_t sums = int64_t{kWorld} * share;
  turn.Pass(sums + vectors);
  const uint4* const received = turn.BufferOf(group.rank);
  const int begin = group.rank * share;
  for (int i = own.first; i < share && begin + i < vectors; i += own.stride) {
    const uint4 value = Sendable(AwaitSum<kWorld>(turn, received + i, share));
#pragma unroll
    for (int step = 0; step < kWorld; ++step) {
      turn.Send((group.rank + step) % kWorld, sums + begin + i, value);
    }
  }
  for (int i = own.first; i < vectors; i += own.stride) {
    const uint4* const at = received + sums + i;
    reinterpret_cast<float4*>(out)[i] = Await(turn, at, device::LoadFromPeers(at));
  }
}

struct Shape {
  int blocks, threads;
};

// Small blocks while there are multiprocessors for them.
Shape ShapeFor(int vectors, int num_sms) {
  for (const int threads : {128, 256, kMaxThreads}) {
    const int blocks = (vectors + threads - 1) / threads;
    if (blocks <= num_sms) return {blocks, threads};
  }
  return {num_sms, kMaxThreads};
}

template <int kWorld>
cudaError_t LaunchFor(const PeerAllReduce& operation, int vectors, cudaStream_t stream) {
  const Shape shape = ShapeFor(vectors, operation.num_sms);
  // Chained kernels behind it start once all of its blocks have, so none of them waits for room
  // while the others wait for peers.
  return device::LaunchChained(
      operation.algorithm == PeerAlgorithm::kOneShot ? OneShotKernel<kWorld>
                                                     : TwoShotKernel<kWorld>,
      static_cast<unsigned>(shape.blocks), static_cast<unsigned>(shape.threads), 0, stream,
      operation.group, operation.part, operation.out, vectors);
}

}  // namespace

int64_t PeerVectors(PeerAlgorithm algorithm, int world_size, int64_t count) {
  const int64_t vectors = (count + 3) / 4;
  if (algorithm == PeerAlgorithm::kOneShot) return world_size * vectors;
  return (vectors + world_size - 1) / world_size * world_size + vectors;
}

LaunchResult RunPeerAllReduce(const PeerAllReduce& operation, cudaStream_t stream) {
  const PeerGroup& group = operation.group;
  const int64_t count = int64_t{operation.part.rows} * operation.part.outputs;
  if (operation.part.outputs % 4 != 0 || reinterpret_cast<uintptr_t>(operation.out) % 16 != 0) {
    return InvalidArguments("all-reduce over peers: values must come in aligned fours");
  }
  if (PeerVectors(operation.algorithm, group.world_size, count) > group.vectors) {
    return InvalidArguments("all-reduce over peers: more values than the buffers hold");
  }
  if (operation.num_sms < 1) return InvalidArguments("all-reduce over peers: no multiprocessors");
  if (count == 0) return {};
  const auto vectors = static_cast<int>(count / 4);
  constexpr char kName[] = "all-reduce over peers";
  switch (group.world_size) {
    case 2:
      return AfterLaunch(LaunchFor<2>(operation, vectors, stream), kName);
    case 4:
      return AfterLaunch(LaunchFor<4>(operation, vectors, stream), kName);
    case 8:
      return AfterLaunch(LaunchFor<8>(operation, vectors, stream), kName);
    default:
      return InvalidArguments("all-reduce over peers: the ranks must be 2, 4 or 8");
  }
}

}  // namespace sluice::kernels::collective
