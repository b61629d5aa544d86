// SPDX-License-Identifier: Apache-2.0
// How a rank's process gets the DeviceCommunicator of its group, whatever the group's size: one
// rank alone needs no NCCL; several sum over peer memory beside it. Any thread.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "worker/parallel/all_reduce_path.h"
#include "worker/parallel/device_communicator.h"

namespace sluice::worker {

// Rank 0's, once for a group of several: opaque bytes that the other ranks need.
// FAILED_PRECONDITION without NCCL.
absl::StatusOr<std::string> MakeDeviceGroupId();

// Starts to meet the group's other ranks and returns (DeviceCommunicator::WaitReady waits). device:
// this rank's CUDA ordinal. id: what rank 0 has made; empty for a group of one. The leader alone
// bounds the wait, since it knows when all have joined; the others wait until they are aborted.
// mode: the same on all ranks.
absl::StatusOr<std::unique_ptr<DeviceCommunicator>> StartDeviceCommunicator(
    int device, int rank, int world_size, const std::string& id,
    AllReduceMode mode = AllReduceMode::kAuto);

}  // namespace sluice::worker
