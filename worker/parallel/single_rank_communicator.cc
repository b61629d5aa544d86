// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "worker/parallel/communicator.h"

namespace sluice::worker {

absl::Status SingleRankCommunicator::Gather(std::span<const float> local, std::span<float> out) {
  if (out.size() != local.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("Gather of ", local.size(), " values from one rank into ", out.size()));
  }
  std::copy(local.begin(), local.end(), out.begin());
  return absl::OkStatus();
}

}  // namespace sluice::worker
