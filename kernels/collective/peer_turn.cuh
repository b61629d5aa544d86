// SPDX-License-Identifier: Apache-2.0
// What every kernel that sums over peers does (peer_all_reduce.h): an operation's turn at the
// buffers, sending a part to the ranks and awaiting theirs. Grids have one dimension.
#pragma once

#include "kernels/awq/linear_output.cuh"
#include "kernels/collective/peer_all_reduce.h"
#include "kernels/device/float4.cuh"
#include "kernels/device/peer_memory.cuh"
#include "kernels/device/reduce.cuh"

namespace sluice::kernels::collective {

// Which vectors are a thread's. The grid's warps count first those of the same place in all blocks,
// so that few vectors, too, are spread over all of its blocks. REQUIRES: blocks of whole warps.
struct Vectors {
  int first, stride;
};

__device__ inline Vectors OfThread() {
  const int lane = static_cast<int>(threadIdx.x) % device::kWarpSize;
  const int warp = static_cast<int>(threadIdx.x) / device::kWarpSize * static_cast<int>(gridDim.x) +
                   static_cast<int>(blockIdx.x);
  return {warp * device::kWarpSize + lane, static_cast<int>(gridDim.x * blockDim.x)};
}

// Four neighbouring values of this rank's part, which has no row scale (CheckPart).
__device__ inline float4 LoadPart(const awq::LinearOutput& part, int vector) {
  const int row = 4 * vector / part.outputs;
  float4 value[1];
  awq::OutputColumns<1, false>(part, {4 * vector - row * part.outputs}).Load(row, value);
  return value[0];
}

// The same, or where that is kAbsent other bits that are NaN, of fp32 as of two bf16.
__device__ inline uint32_t Sendable(uint32_t bits) { return bits == kAbsent ? 0x7fffffffu : bits; }
__device__ inline uint4 Sendable(uint4 bits) {
  return {Sendable(bits.x), Sendable(bits.y), Sendable(bits.z), Sendable(bits.w)};
}
__device__ inline uint4 Sendable(float4 value) {
  return Sendable(uint4{__float_as_uint(value.x), __float_as_uint(value.y),
                        __float_as_uint(value.z), __float_as_uint(value.w)});
}

__device__ inline float4 BitsAsFloats(uint4 value) {
  return {__uint_as_float(value.x), __uint_as_float(value.y), __uint_as_float(value.z),
          __uint_as_float(value.w)};
}

__device__ inline bool IsAbsent(uint4 value) {
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

  __device__ int rank() const { return group_.rank; }

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

  template <int kWorld>
  __device__ void SendToAll(int64_t at, uint4 value) const {
#pragma unroll
    for (int step = 0; step < kWorld; ++step) {  // not all to the same rank at once
      Send((group_.rank + step) % kWorld, at, value);
    }
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

// What peers put at the first `count` of kCount places from `at` on, `apart` vectors apart. All
// that is not there yet is asked for together, time and again: one after the other, each would cost
// a turn of its own, also once it is there.
template <int kCount>
struct Awaited {
  uint4 seen[kCount];

  __device__ Awaited(Turn& turn, const uint4* at, int64_t apart, int count = kCount) {
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      seen[i] = i < count ? device::LoadFromPeers(at + i * apart) : uint4{};
    }
    for (uint32_t waited = 1; IsAnyAbsent() && !turn.aborted(); ++waited) {
      if (waited % device::kWaitTurnsPerLook == 0 && turn.LearnsOfAbort()) break;
      device::WaitTurn();
#pragma unroll
      for (int i = 0; i < kCount; ++i) {
        if (IsAbsent(seen[i])) seen[i] = device::LoadFromPeers(at + i * apart);
      }
    }
  }

  __device__ float4 operator[](int i) const { return BitsAsFloats(seen[i]); }

 private:
  __device__ bool IsAnyAbsent() const {
    bool any = false;
#pragma unroll
    for (int i = 0; i < kCount; ++i) any |= IsAbsent(seen[i]);
    return any;
  }
};

// Hands `take` each of `count` vectors from `at` on that are this thread's, once it is there.
template <int kAtOnce, typename Take>
__device__ void AwaitEach(Turn& turn, const uint4* at, int count, Take take) {
  const Vectors own = OfThread();
  for (int i = own.first; i < count; i += kAtOnce * own.stride) {
    const int left = min(kAtOnce, (count - i + own.stride - 1) / own.stride);
    const Awaited<kAtOnce> awaited(turn, at + i, own.stride, left);
#pragma unroll
    for (int k = 0; k < kAtOnce; ++k) {
      if (k < left) take(i + k * own.stride, awaited.seen[k]);
    }
  }
}

// Which of the others a rank is to another one.
__device__ inline int OtherOf(int rank, int to) { return rank < to ? rank : rank - 1; }

// Sends every rank its share, [share], of the part's vectors from `begin` on, behind those of the
// ranks before this one: of all ranks, or of the receiver's others where nothing is sent to
// oneself. The last shares may be shorter, or empty.
template <int kWorld, bool kToItself>
__device__ void SendShares(const Turn& turn, const awq::LinearOutput& part, int begin, int vectors,
                           int share) {
  constexpr int kFirst = kToItself ? 0 : 1;
  const Vectors own = OfThread();
  for (int i = own.first; i < (kWorld - kFirst) * share; i += own.stride) {
    const int step = i / share, within = i - step * share;
    const int peer = (turn.rank() + kFirst + step) % kWorld;  // not all to the same rank at once
    const int vector = peer * share + within;
    if (vector >= vectors) continue;
    const int place = kToItself ? turn.rank() : OtherOf(turn.rank(), peer);
    turn.Send(peer, int64_t{place} * share + within, Sendable(LoadPart(part, begin + vector)));
  }
}

// The sum over ranks, in their order, of what they have put at `at`, `apart` vectors apart.
template <int kWorld>
__device__ float4 AwaitSum(Turn& turn, const uint4* at, int64_t apart) {
  const Awaited<kWorld> parts(turn, at, apart);
  float4 sum = parts[0];
#pragma unroll
  for (int rank = 1; rank < kWorld; ++rank) device::AddTo(sum, parts[rank]);
  return sum;
}

// The same of what the others have put there, and `own`.
template <int kWorld>
__device__ float4 AwaitSumWith(float4 own, Turn& turn, const uint4* at, int64_t apart) {
  const Awaited<kWorld - 1> others(turn, at, apart);
  float4 sum = turn.rank() == 0 ? own : others[0];
#pragma unroll
  for (int rank = 1; rank < kWorld; ++rank) {
    const float4 before = others[min(rank, kWorld - 2)], behind = others[rank - 1];
    device::AddTo(sum, rank == turn.rank() ? own : rank < turn.rank() ? before : behind);
  }
  return sum;
}

}  // namespace sluice::kernels::collective
