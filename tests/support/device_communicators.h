// SPDX-License-Identifier: Apache-2.0
// The communicators of a group whose ranks are threads of one process, on GPUs 0 to world_size - 1.
// The thread that has started the ranks calls, before they begin and after they have ended.
#pragma once

#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "proto/wire/status_macros.h"
#include "worker/parallel/device_group.h"
#include "worker/parallel/nccl_environment.h"

namespace sluice::worker {

// By rank; they have met once each rank has called WaitReady. Sets NCCL's environment as the worker
// does.
inline absl::StatusOr<std::vector<std::unique_ptr<DeviceCommunicator>>> StartDeviceCommunicators(
    int world_size, AllReduceMode mode = AllReduceMode::kAuto) {
  for (const auto& entry : kNcclEnvironment) setenv(entry.name, entry.value, 0);
  std::string id;
  if (world_size > 1) {
    SLUICE_ASSIGN_OR_RETURN(id, MakeDeviceGroupId());
  }
  std::vector<std::unique_ptr<DeviceCommunicator>> communicators;
  for (int rank = 0; rank < world_size; ++rank) {
    SLUICE_ASSIGN_OR_RETURN(auto communicator,
                            StartDeviceCommunicator(/*device=*/rank, rank, world_size, id, mode));
    communicators.push_back(std::move(communicator));
  }
  return communicators;
}

// Ends all at once: a communicator's end waits for the other ranks'.
inline void EndDeviceCommunicators(std::vector<std::unique_ptr<DeviceCommunicator>> communicators) {
  std::vector<std::thread> threads;
  for (auto& communicator : communicators) {
    threads.emplace_back([&communicator] { communicator.reset(); });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace sluice::worker
