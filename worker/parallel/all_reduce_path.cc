// SPDX-License-Identifier: Apache-2.0
#include "worker/parallel/all_reduce_path.h"

#include <algorithm>
#include <iterator>
#include <limits>

#include "kernels/collective/peer_add_rms_norm.h"
#include "kernels/collective/peer_all_reduce.h"
#include "kernels/collective/peer_all_reduce_norm.h"

namespace sluice::worker {
namespace {

using kernels::collective::PeerAlgorithm;

// In bytes of fp32, where the next way becomes the fastest by tests/bench/collective_bench on H200s
// of one host, 2026-11-27: of whole values, and of what down leaves in pieces with the norm that
// follows (docs/performance.md, "Sums over ranks"). At 40 MB two-shot sums are within a tenth of
// NCCL's, in favour of either.
struct Bounds {
  int world_size;
  int64_t one_shot;  // up to here; then two-shot
  int64_t two_shot;  // up to here; then NCCL
  int64_t scaled;    // up to here; then apart
  int64_t by_rows;   // from here on
};
constexpr int64_t kKiB = 1024;
constexpr Bounds kBounds[] = {
    {2, 2560 * kKiB, 16384 * kKiB, 2240 * kKiB, 2240 * kKiB},
    {4, 256 * kKiB, 16384 * kKiB, 540 * kKiB, 1000 * kKiB},
    {8, 96 * kKiB, 16384 * kKiB, 140 * kKiB, 1060 * kKiB},
};

const Bounds* BoundsOf(int world_size) {
  const auto* const found = std::ranges::find(kBounds, world_size, &Bounds::world_size);
  return found == std::end(kBounds) ? nullptr : found;
}

constexpr int64_t kVectorBytes = 16;

int64_t Capacity(PeerAlgorithm algorithm, int world_size, int64_t buffer_bytes) {
  return kernels::collective::PeerCapacity(algorithm, world_size, buffer_bytes / kVectorBytes);
}

}  // namespace

AllReducePath ChooseAllReducePath(AllReduceMode mode, int world_size, int64_t count,
                                  int64_t buffer_bytes) {
  const Bounds* const bounds = BoundsOf(world_size);
  if (mode == AllReduceMode::kNccl || bounds == nullptr || count % 4 != 0 ||
      count > std::numeric_limits<int>::max()) {
    return AllReducePath::kNccl;
  }
  const int64_t bytes = count * int64_t{sizeof(float)};
  const bool all = mode == AllReduceMode::kPeer;
  if (bytes <= bounds->one_shot &&
      count <= Capacity(PeerAlgorithm::kOneShot, world_size, buffer_bytes)) {
    return AllReducePath::kOneShot;
  }
  if ((all || bytes <= bounds->two_shot) &&
      Capacity(PeerAlgorithm::kTwoShot, world_size, buffer_bytes) > 0) {
    return AllReducePath::kTwoShot;
  }
  return AllReducePath::kNccl;
}

NormPath ChooseNormPath(AllReduceMode mode, const NormedSumShape& shape,
                        std::optional<NormPath> preferred) {
  const Bounds* const bounds = BoundsOf(shape.world_size);
  if (mode == AllReduceMode::kNccl || bounds == nullptr || shape.width % 4 != 0) {
    return NormPath::kApart;
  }
  const int64_t count = int64_t{shape.rows} * shape.width;
  const int64_t bytes = count * int64_t{sizeof(float)};
  const bool can_be_scaled =
      kernels::collective::TakesPeerAllReduceNorm(shape.rows, shape.num_sms) &&
      count <= Capacity(PeerAlgorithm::kOneShot, shape.world_size, shape.buffer_bytes);
  const bool can_go_by_rows = count <= std::numeric_limits<int>::max() &&
                              kernels::collective::TakesPeerAddRmsNorm(
                                  shape.world_size, shape.width, shape.buffer_bytes / kVectorBytes);
  NormPath fastest = NormPath::kApart;
  if (bytes >= bounds->by_rows) fastest = NormPath::kByRows;
  if (bytes <= bounds->scaled && can_be_scaled) fastest = NormPath::kScaled;
  const NormPath path = preferred.value_or(fastest);
  const bool possible = path == NormPath::kScaled ? can_be_scaled : can_go_by_rows;
  return possible ? path : NormPath::kApart;
}

}  // namespace sluice::worker
