// SPDX-License-Identifier: Apache-2.0
#include "worker/executor/cuda/weight_loader.h"

#include <cuda_runtime_api.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kernels/awq/repack.h"
#include "proto/wire/status_macros.h"
#include "worker/device/cuda_status.h"
#include "worker/device/current_device.h"
#include "worker/device/device_buffer.h"
#include "worker/device/stream.h"
#include "worker/executor/cuda/load_plan.h"
#include "worker/executor/cuda/part_reader.h"
#include "worker/model/rope_frequencies.h"

namespace sluice::worker {
namespace {

int NumReaders(int requested, int tp_size) {
  if (requested > 0) return requested;
  return std::clamp(static_cast<int>(std::thread::hardware_concurrency()) / tp_size, 2, 8);
}

absl::Status NameTensor(const absl::Status& status, const LoadPiece& piece) {
  if (status.ok()) return status;
  return {status.code(),
          absl::StrCat("loading tensor ", piece.parts.front().tensor.name, ": ", status.message())};
}

// What the readers share.
class Loading {
 public:
  Loading(const ModelFolder& folder, const WeightLoaderOptions& options,
          std::vector<LoadPiece> pieces, const DeviceWeights& weights)
      : checkpoint_(folder.checkpoint().get()),
        options_(options),
        tp_size_(folder.tp_size()),
        pieces_(std::move(pieces)),
        arena_(weights.arena) {
    for (const LoadPiece& piece : pieces_) {
      total_bytes_ += piece.staged_bytes();
      slot_bytes_ = std::max(slot_bytes_, piece.staged_bytes());
      if (piece.is_awq()) scratch_bytes_ = std::max(scratch_bytes_, piece.staged_bytes());
    }
  }

  absl::Status Run() {
    num_readers_ = static_cast<size_t>(NumReaders(options_.num_readers, tp_size_));
    num_readers_ = std::min(num_readers_, pieces_.size());
    std::vector<std::thread> readers;
    readers.reserve(num_readers_);
    for (size_t i = 0; i < num_readers_; ++i) {
      readers.emplace_back([this] {
        const absl::Status status = Read();
        if (!status.ok()) Fail(status);
      });
    }
    for (std::thread& reader : readers) reader.join();
    return failure_;
  }

 private:
  // One reader: takes pieces until there are none.
  absl::Status Read() {
    SLUICE_RETURN_IF_ERROR(device::SetDevice(options_.device_index));
    SLUICE_ASSIGN_OR_RETURN(const auto slot,
                            device::PinnedBuffer::Allocate(slot_bytes_, "loading weights"));
    SLUICE_ASSIGN_OR_RETURN(const auto scratch,
                            device::DeviceBuffer::Allocate(scratch_bytes_, "loading weights"));
    SLUICE_ASSIGN_OR_RETURN(const auto stream, device::Stream::Create());
    for (;;) {
      const size_t index = next_.fetch_add(1, std::memory_order_relaxed);
      if (index >= pieces_.size() || failed_.load(std::memory_order_relaxed)) break;
      // The disk works on what the readers will want next while they copy.
      const size_t ahead = index + num_readers_;
      if (ahead < pieces_.size()) {
        for (const TensorPart& part : pieces_[ahead].parts) PrefetchPart(checkpoint_, part);
      }
      const LoadPiece& piece = pieces_[index];
      absl::Status status = Enqueue(piece, slot, scratch, stream);
      const absl::Status ended = stream.Synchronize();  // the slot is about to be written again
      if (status.ok()) status = ended;
      SLUICE_RETURN_IF_ERROR(NameTensor(status, piece));
      Advance(piece.staged_bytes());
    }
    return absl::OkStatus();
  }

  absl::Status Enqueue(const LoadPiece& piece, const device::PinnedBuffer& slot,
                       const device::DeviceBuffer& scratch, const device::Stream& stream) const {
    for (const TensorPart& part : piece.parts) {
      ReadPart(checkpoint_, part, slot.As<std::byte>(part.staged_offset));
      ReleasePart(checkpoint_, part);
    }
    void* const to = piece.is_awq() ? scratch.data() : arena_.As<void>(piece.offset);
    SLUICE_RETURN_IF_ERROR(
        device::ToStatus(cudaMemcpyAsync(to, slot.data(), static_cast<size_t>(piece.staged_bytes()),
                                         cudaMemcpyHostToDevice, stream.get()),
                         "copying to the device"));
    if (!piece.is_awq()) return absl::OkStatus();
    kernels::awq::PackedAwq packed = piece.packed;
    packed.tiles = arena_.As<void>(piece.offset);
    std::vector<kernels::awq::AutoAwqTensors> linears;
    for (size_t first = 0; first < piece.parts.size(); first += kAwqTensors) {
      const TensorPart* parts = &piece.parts[first];
      linears.push_back({.qweight = scratch.As<int32_t>(parts[0].staged_offset),
                         .qzeros = scratch.As<int32_t>(parts[1].staged_offset),
                         .scales = scratch.As<uint16_t>(parts[2].staged_offset),
                         .inputs = packed.inputs,
                         .outputs = piece.num_outputs,
                         .scale_type = packed.scale_type});
    }
    const kernels::awq::ShardRange all = {
        .num_inputs = packed.inputs, .first_output = 0, .num_outputs = piece.num_outputs};
    return device::ToStatus(
        kernels::awq::Repack(linears, all, packed, piece.first_packed_output, stream.get()));
  }

  void Advance(int64_t bytes) {
    const std::lock_guard lock(mutex_);
    done_bytes_ += bytes;
    if (options_.on_progress) options_.on_progress(done_bytes_, total_bytes_);
  }

  void Fail(const absl::Status& status) {
    failed_.store(true, std::memory_order_relaxed);
    const std::lock_guard lock(mutex_);
    if (failure_.ok()) failure_ = status;
  }

  const Checkpoint* const checkpoint_;  // null for dummy weights
  const WeightLoaderOptions& options_;
  const int tp_size_;
  const std::vector<LoadPiece> pieces_;
  const device::DeviceBuffer& arena_;
  int64_t total_bytes_ = 0;
  int64_t slot_bytes_ = 0;
  int64_t scratch_bytes_ = 0;
  size_t num_readers_ = 0;

  std::atomic<size_t> next_{0};
  std::atomic<bool> failed_{false};
  std::mutex mutex_;
  int64_t done_bytes_ = 0;  // guarded by mutex_
  absl::Status failure_;    // guarded by mutex_; the first one
};

// In the order in which they lie in the files, so that a disk reads forwards.
void SortAsStored(const Checkpoint& checkpoint, std::vector<LoadPiece>* pieces) {
  const auto place = [&checkpoint](const LoadPiece& piece) {
    const TensorPart& part = piece.parts.front();
    return std::pair(checkpoint.Data(part.tensor.name).data(), part.first_row);
  };
  std::stable_sort(
      pieces->begin(), pieces->end(),
      [&place](const LoadPiece& a, const LoadPiece& b) { return place(a) < place(b); });
}

}  // namespace

absl::StatusOr<DeviceWeights> LoadWeights(const ModelFolder& folder,
                                          const WeightLoaderOptions& options) {
  SLUICE_RETURN_IF_ERROR(device::SetDevice(options.device_index));
  const Qwen3Config& config = folder.config();
  const Checkpoint* const checkpoint = folder.checkpoint().get();
  SLUICE_ASSIGN_OR_RETURN(const WeightLayout layout,
                          LayOutWeights(config, folder.tp_size(), checkpoint));
  SLUICE_ASSIGN_OR_RETURN(DeviceWeights weights, AllocateWeights(config, layout, options.rank));
  const std::vector<float> inv_freq = RopeFrequenciesOf(config).inv_freq;
  SLUICE_RETURN_IF_ERROR(
      device::ToStatus(cudaMemcpy(weights.arena.As<void>(layout.inv_freq), inv_freq.data(),
                                  inv_freq.size() * sizeof(float), cudaMemcpyHostToDevice),
                       "copying the rotary frequencies to the device"));
  // A copy from ordinary memory may return before it has arrived.
  SLUICE_RETURN_IF_ERROR(
      device::ToStatus(cudaStreamSynchronize(nullptr), "waiting for the rotary frequencies"));
  std::vector<LoadPiece> pieces =
      PlanLoad(config, layout, options.rank, folder.tp_size(), options.slot_bytes);
  if (checkpoint != nullptr) SortAsStored(*checkpoint, &pieces);
  SLUICE_RETURN_IF_ERROR(Loading(folder, options, std::move(pieces), weights).Run());
  return weights;
}

}  // namespace sluice::worker
