// SPDX-License-Identifier: Apache-2.0
// device_communicators.h's on the emulator of CUDA: ranks are threads with an emulated GPU each,
// which sum over peer memory as real ones do; the rest goes through the stand-in of NCCL
// (CMake's sluice_use_fake_nccl). The thread that has started the ranks calls, before they begin.
#pragma once

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "proto/wire/status_macros.h"
#include "tests/cuda_emulation/settings.h"
#include "worker/parallel/device_communicator.h"
#include "worker/parallel/nccl_communicator.h"
#include "worker/parallel/nccl_library.h"
#include "worker/parallel/peer_communicator.h"

namespace sluice::worker {

// By rank, on devices 0 to world_size - 1; they have met once each rank has called WaitReady.
inline absl::StatusOr<std::vector<std::unique_ptr<DeviceCommunicator>>> StartEmulatedCommunicators(
    int world_size) {
  int& num_devices = cuda_emulation::TheSettings().num_devices;
  num_devices = std::max(num_devices, world_size);
  std::vector<std::unique_ptr<DeviceCommunicator>> communicators;
  if (world_size == 1) {
    communicators.push_back(std::make_unique<SingleDeviceCommunicator>());
    return communicators;
  }
  SLUICE_ASSIGN_OR_RETURN(const auto library, NcclLibrary::OpenAnyOf({SLUICE_FAKE_NCCL}));
  SLUICE_ASSIGN_OR_RETURN(const auto id, NcclCommunicator::MakeUniqueId(*library));
  for (int rank = 0; rank < world_size; ++rank) {
    NcclOptions options;
    options.rank = rank;
    options.world_size = world_size;
    options.device = rank;
    SLUICE_ASSIGN_OR_RETURN(auto nccl, NcclCommunicator::Start(library, id, options));
    communicators.push_back(
        std::make_unique<PeerCommunicator>(std::move(nccl), PeerOptions{.device = rank}));
  }
  return communicators;
}

}  // namespace sluice::worker
