// SPDX-License-Identifier: Apache-2.0
#include "worker/parallel/peer_memory.h"

#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <random>
#include <string>

#include "absl/strings/str_cat.h"
#include "proto/wire/status_macros.h"
#include "worker/device/cuda_status.h"
#include "worker/device/current_device.h"

namespace sluice::worker {
namespace {

using device::ToStatus;

template <size_t kSize>
void Write(const std::string& text, char (&field)[kSize]) {
  std::snprintf(field, kSize, "%s", text.c_str());
}

std::string BootId() {
  std::string id;
  std::getline(std::ifstream("/proc/sys/kernel/random/boot_id"), id);
  return id;
}

// Process ids alone are not enough: containers count their own.
std::string ProcessName() {
  static const uint64_t drawn = [] {
    std::random_device random;
    return uint64_t{random()} << 32 | random();
  }();
  return absl::StrCat(getpid(), "-", drawn);
}

}  // namespace

absl::StatusOr<std::unique_ptr<PeerMemory>> PeerMemory::Allocate(int rank, int world_size,
                                                                 int64_t buffer_bytes) {
  using kernels::collective::kPeerBuffers;
  using kernels::collective::PeerTurn;
  std::unique_ptr<PeerMemory> memory(new PeerMemory);
  SLUICE_RETURN_IF_ERROR(ToStatus(cudaGetDevice(&memory->device_), "cudaGetDevice"));
  SLUICE_ASSIGN_OR_RETURN(
      memory->buffers_,
      device::DeviceBuffer::Allocate(kPeerBuffers * buffer_bytes, "the sums over peers"));
  SLUICE_ASSIGN_OR_RETURN(memory->turn_,
                          device::DeviceBuffer::Allocate(sizeof(PeerTurn), "the sums over peers"));
  SLUICE_ASSIGN_OR_RETURN(memory->abort_,
                          device::PinnedBuffer::Allocate(sizeof(int), "the sums over peers"));
  *memory->abort_.As<int>() = 0;
  const auto bytes = static_cast<size_t>(memory->buffers_.bytes());
  SLUICE_RETURN_IF_ERROR(ToStatus(cudaMemset(memory->buffers_.data(), 0xff, bytes), "cudaMemset"));
  SLUICE_RETURN_IF_ERROR(
      ToStatus(cudaMemset(memory->turn_.data(), 0, sizeof(PeerTurn)), "cudaMemset"));
  SLUICE_RETURN_IF_ERROR(ToStatus(cudaStreamSynchronize(nullptr), "cudaStreamSynchronize"));

  PeerCard& card = memory->card_;
  SLUICE_RETURN_IF_ERROR(ToStatus(
      cudaDeviceGetPCIBusId(card.bus_id, sizeof(card.bus_id), memory->device_), "the PCI bus id"));
  SLUICE_RETURN_IF_ERROR(
      ToStatus(cudaIpcGetMemHandle(&card.handle, memory->buffers_.data()), "cudaIpcGetMemHandle"));
  Write(BootId(), card.boot_id);
  Write(ProcessName(), card.process);
  card.address = reinterpret_cast<uint64_t>(memory->buffers_.data());
  SLUICE_ASSIGN_OR_RETURN(const int num_sms, device::NumMultiprocessors(memory->device_));
  card.num_sms = static_cast<uint32_t>(num_sms);
  card.usable = 1;

  kernels::collective::PeerGroup& group = memory->group_;
  group.rank = rank;
  group.world_size = world_size;
  group.vectors = buffer_bytes / int64_t{sizeof(float4)};
  group.turn = memory->turn_.As<PeerTurn>();
  void* abort = nullptr;
  SLUICE_RETURN_IF_ERROR(ToStatus(cudaHostGetDevicePointer(&abort, memory->abort_.data(), 0),
                                  "cudaHostGetDevicePointer"));
  group.abort = static_cast<const int*>(abort);
  return memory;
}

PeerMemory::~PeerMemory() {
  cudaSetDevice(device_);
  Close();
}

absl::Status PeerMemory::Open(std::span<const PeerCard> cards) {
  for (size_t rank = 0; rank < cards.size(); ++rank) {
    const PeerCard& card = cards[rank];
    void* pointer = buffers_.data();
    if (static_cast<int>(rank) != group_.rank) {
      if (std::strncmp(card.boot_id, card_.boot_id, sizeof(card.boot_id)) != 0) {
        return absl::UnavailableError(absl::StrCat("rank ", rank, " is on another host"));
      }
      int device = 0;
      if (cudaDeviceGetByPCIBusId(&device, card.bus_id) != cudaSuccess) {
        cudaGetLastError();
        return absl::UnavailableError(
            absl::StrCat("rank ", rank, "'s GPU is not visible to rank ", group_.rank));
      }
      SLUICE_RETURN_IF_ERROR(OpenOne(card, device, &pointer));
    }
    group_.buffers[rank] = static_cast<float4*>(pointer);
  }
  return absl::OkStatus();
}

absl::Status PeerMemory::OpenOne(const PeerCard& card, int device, void** pointer) {
  int can = 0;
  SLUICE_RETURN_IF_ERROR(
      ToStatus(cudaDeviceCanAccessPeer(&can, device_, device), "cudaDeviceCanAccessPeer"));
  if (can == 0) {
    return absl::UnavailableError(absl::StrCat("GPU ", card_.bus_id,
                                               " does not reach the memory of ", card.bus_id,
                                               " (nvidia-smi topo -p2p rw)"));
  }
  cudaError_t error = cudaSuccess;
  if (std::strncmp(card.process, card_.process, sizeof(card.process)) == 0) {
    *pointer = reinterpret_cast<void*>(card.address);
    error = cudaDeviceEnablePeerAccess(device, 0);
    if (error == cudaErrorPeerAccessAlreadyEnabled) error = cudaSuccess;
    cudaGetLastError();
    return ToStatus(error, "cudaDeviceEnablePeerAccess");
  }
  error = cudaIpcOpenMemHandle(pointer, card.handle, cudaIpcMemLazyEnablePeerAccess);
  cudaGetLastError();
  if (error == cudaSuccess) mapped_.push_back(*pointer);
  return ToStatus(error, "cudaIpcOpenMemHandle");
}

void PeerMemory::Close() {
  for (void* pointer : mapped_) cudaIpcCloseMemHandle(pointer);
  mapped_.clear();
}

void PeerMemory::Abort() {
  std::atomic_ref<int>(*abort_.As<int>()).store(1, std::memory_order_release);
}

}  // namespace sluice::worker
