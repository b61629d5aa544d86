// SPDX-License-Identifier: Apache-2.0
// PeerMemory: one rank's buffers for sums over peers, and its view of the other ranks': mapped from
// their processes, or plain pointers where ranks are threads of one. NVLink or PCIe, never
// multicast. It owns the memory and the mappings.
//
// Made, opened and destroyed by one thread; Abort may come from any.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernels/collective/peer_all_reduce.h"
#include "worker/device/device_buffer.h"

namespace sluice::worker {

// What a rank tells the others of its memory. Plain bytes; all zero: it has none.
struct PeerCard {
  uint32_t usable;
  uint32_t num_sms;           // multiprocessors of the GPU
  char boot_id[48];           // of the host
  char process[48];           // of the process, unlike any other's
  char bus_id[32];            // of the GPU
  uint64_t address;           // of the buffers, in that process
  cudaIpcMemHandle_t handle;  // the same for other processes
};

class PeerMemory {
 public:
  // On the current device. buffer_bytes: of each of the kPeerBuffers.
  static absl::StatusOr<std::unique_ptr<PeerMemory>> Allocate(int rank, int world_size,
                                                              int64_t buffer_bytes);

  // Unmaps the peers' memory, then frees its own. REQUIRES: this rank's sums have ended, and no
  // peer goes on using this memory.
  ~PeerMemory();
  PeerMemory(const PeerMemory&) = delete;
  PeerMemory& operator=(const PeerMemory&) = delete;

  const PeerCard& card() const { return card_; }
  // Maps the others' memory; cards: by rank. Fails where a GPU is of another host or out of reach.
  absl::Status Open(std::span<const PeerCard> cards);
  // Unmaps it again.
  void Close();
  // REQUIRES: opened.
  const kernels::collective::PeerGroup& group() const { return group_; }

  // Ends running and later sums of this rank, with meaningless values. Thread safe.
  void Abort();

 private:
  PeerMemory() = default;
  absl::Status OpenOne(const PeerCard& card, int device, void** pointer);

  int device_ = 0;
  PeerCard card_ = {};
  device::DeviceBuffer buffers_;
  device::DeviceBuffer turn_;
  device::PinnedBuffer abort_;
  kernels::collective::PeerGroup group_;
  std::vector<void*> mapped_;
};

}  // namespace sluice::worker
