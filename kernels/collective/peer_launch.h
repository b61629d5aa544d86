// SPDX-License-Identifier: Apache-2.0
// What the launchers of sums over peers have in common: the checks, and the number of ranks as a
// constant of the kernel.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <limits>
#include <type_traits>

#include "kernels/awq/linear_output.h"
#include "kernels/collective/peer_all_reduce.h"
#include "kernels/host/launch_result.h"

namespace sluice::kernels::collective {

inline LaunchResult CheckPart(const awq::LinearOutput& part, int num_sms) {
  if (part.row_scale.squares != nullptr) {
    return InvalidArguments("sum over peers: parts have no row scale");
  }
  if (int64_t{part.rows} * part.outputs > std::numeric_limits<int>::max()) {
    return InvalidArguments("sum over peers: more values than ints count");
  }
  if (num_sms < 1) return InvalidArguments("sum over peers: no multiprocessors");
  return {};
}

inline LaunchResult CheckPeerSum(const PeerGroup& group, PeerAlgorithm algorithm,
                                 const awq::LinearOutput& part, int num_sms) {
  if (part.outputs % 4 != 0) {
    return InvalidArguments("all-reduce over peers: values must come in fours");
  }
  const int64_t capacity = PeerCapacity(algorithm, group.world_size, group.vectors);
  if (algorithm == PeerAlgorithm::kOneShot ? int64_t{part.rows} * part.outputs > capacity
                                           : capacity == 0) {
    return InvalidArguments("all-reduce over peers: more values than the buffers hold");
  }
  return CheckPart(part, num_sms);
}

// launch(a std::integral_constant, the ranks) returns what AfterLaunch wants.
template <typename Launch>
LaunchResult LaunchForWorld(int world_size, Launch launch, const char* name) {
  switch (world_size) {
    case 2:
      return AfterLaunch(launch(std::integral_constant<int, 2>{}), name);
    case 4:
      return AfterLaunch(launch(std::integral_constant<int, 4>{}), name);
    case 8:
      return AfterLaunch(launch(std::integral_constant<int, 8>{}), name);
    default:
      return InvalidArguments("all-reduce over peers: the ranks must be 2, 4 or 8");
  }
}

}  // namespace sluice::kernels::collective
