// SPDX-License-Identifier: Apache-2.0
// Sums over the GPUs of one host: every rank runs the same kernel, which writes its part straight
// into the other ranks' memory and takes theirs from its own. Made for the kilobytes of a
// decode step, up to some megabytes of many rows, where a library's handshakes cost as much as the
// bytes. What a linear has left in pieces is added up on the way.
//
// There are no flags. A buffer is filled with one bit pattern that no sent value has (kAbsent), and
// a value is there when it reads as something else; so each of 4 bytes vouches for itself, and
// nothing depends on the order in which stores arrive. Buffers take turns, kPeerBuffers of them: an
// operation clears what the one before it has read, and the next two use other ones, so nobody
// writes to a buffer that is being read or cleared (the proof is in docs/adr/0010).
//
// A rank that does not come leaves its peers' kernels waiting until their *abort is not 0.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "kernels/awq/linear_output.h"
#include "kernels/host/launch_result.h"

namespace sluice::kernels::collective {

inline constexpr int kMaxPeers = 8;
inline constexpr int kPeerBuffers = 3;
inline constexpr uint32_t kAbsent = 0xffffffffu;  // a NaN that no arithmetic of a GPU gives

// Where a rank's operations stand. In its device memory; zero before the first one.
struct PeerTurn {
  uint32_t buffer = 0;   // the next operation's
  uint32_t used = 0;     // of the buffer before it, in vectors: what is to be cleared
  uint32_t arrived = 0;  // blocks of the running operation that have read this
  uint32_t aborted = 0;  // not 0: an operation has been told to give up, and all later ones do
};

// The group as one rank's device sees it.
struct PeerGroup {
  int rank = 0;
  int world_size = 0;  // 2, 4 or 8
  // By rank: kPeerBuffers times `vectors`, all bits set before the first operation of any rank.
  float4* buffers[kMaxPeers] = {};
  int64_t vectors = 0;
  PeerTurn* turn = nullptr;
  const int* abort = nullptr;  // the host's, mapped
};

enum class PeerAlgorithm {
  kOneShot,  // every rank sends all to all and sums all: one crossing
  kTwoShot,  // every rank sums its share and sends that to all: two crossings, fewer bytes
};

// The most values that a sum takes of buffers of so many vectors. A longer one goes in turns, one
// kernel each, where it is two-shot, and is refused where it is one-shot.
int64_t PeerCapacity(PeerAlgorithm algorithm, int world_size, int64_t vectors);

struct PeerAllReduce {
  PeerGroup group;
  PeerAlgorithm algorithm = PeerAlgorithm::kOneShot;
  // This rank's, without a row scale: rows * outputs values, as many as an int counts; outputs a
  // multiple of 4.
  awq::LinearOutput part;
  // [rows][outputs], aligned to 16 bytes; may be part.float_values. The sum in the order of the
  // ranks, with the same bits on all of them and from both algorithms.
  float* out = nullptr;
  int num_sms = 0;  // of this device; at most so many blocks, which all run at once
};

// All ranks enqueue (and replay) the same operations in the same order, each on one stream.
LaunchResult RunPeerAllReduce(const PeerAllReduce& operation, cudaStream_t stream);

}  // namespace sluice::kernels::collective
