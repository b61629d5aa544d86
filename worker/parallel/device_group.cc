// SPDX-License-Identifier: Apache-2.0
#include "worker/parallel/device_group.h"

#include <chrono>
#include <utility>

#include "proto/wire/status_macros.h"
#include "worker/parallel/nccl_communicator.h"
#include "worker/parallel/nccl_library.h"
#include "worker/parallel/peer_communicator.h"

namespace sluice::worker {
namespace {

// The leader waits once all ranks have joined: meeting takes seconds.
constexpr std::chrono::milliseconds kLeaderTimeout{120'000};

}  // namespace

absl::StatusOr<std::string> MakeDeviceGroupId() {
  SLUICE_ASSIGN_OR_RETURN(const auto library, NcclLibrary::Open());
  return NcclCommunicator::MakeUniqueId(*library);
}

absl::StatusOr<std::unique_ptr<DeviceCommunicator>> StartDeviceCommunicator(int device, int rank,
                                                                            int world_size,
                                                                            const std::string& id,
                                                                            AllReduceMode mode) {
  if (world_size == 1) return std::make_unique<SingleDeviceCommunicator>();
  SLUICE_ASSIGN_OR_RETURN(auto library, NcclLibrary::Open());
  NcclOptions options;
  options.rank = rank;
  options.world_size = world_size;
  options.device = device;
  options.init_timeout = rank == 0 ? kLeaderTimeout : std::chrono::milliseconds(0);
  SLUICE_ASSIGN_OR_RETURN(auto nccl, NcclCommunicator::Start(std::move(library), id, options));
  return std::make_unique<PeerCommunicator>(std::move(nccl),
                                            PeerOptions{.mode = mode, .device = device});
}

}  // namespace sluice::worker
