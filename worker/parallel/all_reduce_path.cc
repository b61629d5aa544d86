// SPDX-License-Identifier: Apache-2.0
#include "worker/parallel/all_reduce_path.h"

#include <limits>

#include "kernels/awq/linear_output.h"
#include "kernels/collective/peer_add_rms_norm.h"
#include "kernels/collective/peer_all_reduce.h"

namespace sluice::worker {
namespace {

using kernels::collective::PeerAlgorithm;

// The largest sizes for which each is the fastest, in bytes, by tests/bench/collective_bench on
// H200s of one host, 2026-11-26: of what a linear has left in pieces, as decode steps sum it, up to
// 16 rows; beyond, of whole values; when all parts were not yet asked for together, and without the
// norms that are part of one-shot sums now, both of which speak for one-shot. The buffers hold no
// more than 8 MB of a two-shot sum; that it may go in turns is newer than the measurements.
struct Bounds {
  int world_size;
  int64_t one_shot;
  int64_t two_shot;
};
constexpr int64_t kKiB = 1024;
constexpr Bounds kBounds[] = {
    {2, 5120 * kKiB, 8192 * kKiB},
    {4, 384 * kKiB, 8192 * kKiB},
    {8, 96 * kKiB, 8192 * kKiB},
};

constexpr int64_t kVectorBytes = 16;

int64_t Capacity(PeerAlgorithm algorithm, int world_size, int64_t buffer_bytes) {
  return kernels::collective::PeerCapacity(algorithm, world_size, buffer_bytes / kVectorBytes);
}

}  // namespace

AllReducePath ChooseAllReducePath(AllReduceMode mode, int world_size, int64_t count,
                                  int64_t buffer_bytes) {
  if (mode == AllReduceMode::kNccl || count % 4 != 0 || count > std::numeric_limits<int>::max()) {
    return AllReducePath::kNccl;
  }
  for (const Bounds& bounds : kBounds) {
    if (bounds.world_size != world_size) continue;
    const int64_t bytes = count * int64_t{sizeof(float)};
    const bool all = mode == AllReduceMode::kPeer;
    if (bytes <= bounds.one_shot &&
        count <= Capacity(PeerAlgorithm::kOneShot, world_size, buffer_bytes)) {
      return AllReducePath::kOneShot;
    }
    if ((all || bytes <= bounds.two_shot) &&
        Capacity(PeerAlgorithm::kTwoShot, world_size, buffer_bytes) > 0) {
      return AllReducePath::kTwoShot;
    }
  }
  return AllReducePath::kNccl;
}

bool ChooseNormByRows(AllReduceMode mode, int world_size, int rows, int width,
                      int64_t buffer_bytes) {
  if (mode == AllReduceMode::kNccl || (world_size != 2 && world_size != 4 && world_size != 8)) {
    return false;
  }
  const int64_t count = int64_t{rows} * width;
  const bool scaled =
      rows <= kernels::awq::kMaxScaledRows &&
      ChooseAllReducePath(mode, world_size, count, buffer_bytes) == AllReducePath::kOneShot;
  return !scaled &&
         kernels::collective::TakesPeerAddRmsNorm(world_size, width, buffer_bytes / kVectorBytes);
}

}  // namespace sluice::worker
