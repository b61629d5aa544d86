// SPDX-License-Identifier: Apache-2.0
#include "worker/parallel/peer_communicator.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/awq/linear_output.h"
#include "kernels/collective/peer_add_rms_norm.h"
#include "kernels/collective/peer_all_reduce_norm.h"
#include "proto/wire/status_macros.h"
#include "worker/device/cuda_status.h"
#include "worker/device/current_device.h"

namespace sluice::worker {
namespace {

using device::ToStatus;
using kernels::awq::LinearOutput;
using kernels::awq::RowScale;
using kernels::collective::PeerAlgorithm;
using kernels::collective::ScaledNorm;
using std::chrono::steady_clock;

// For the first sum, whose ranks have just met.
constexpr std::chrono::seconds kTrialTimeout{20};
constexpr int kTrialValues = 4096;

absl::Status Copy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                  cudaStream_t stream) {
  return ToStatus(cudaMemcpyAsync(to, from, bytes, kind, stream), "cudaMemcpyAsync");
}

absl::Status Await(cudaStream_t stream, const char* what) {
  return ToStatus(cudaStreamSynchronize(stream), what);
}

}  // namespace

PeerCommunicator::PeerCommunicator(std::unique_ptr<DeviceCommunicator> target,
                                   const PeerOptions& options)
    : target_(std::move(target)), options_(options) {}

PeerCommunicator::~PeerCommunicator() {
  if (!target_->Check().ok()) {
    // The process is about to exit. Streams may still use what belongs to us.
    Abort();
    static_cast<void>(memory_.release());
    // NOLINTNEXTLINE(bugprone-unhandled-exception-at-new): and without memory it exits here
    static_cast<void>(new device::DeviceBuffer(std::move(scratch_)));
    return;
  }
  // Whoever has ended its sums has everything that peers have sent, so they are done with this
  // rank's memory; and the target waits until all have unmapped it.
  static_cast<void>(device::SetDevice(options_.device));
  if (memory_ != nullptr) memory_->Close();
  target_.reset();
  if (stream_ != nullptr) cudaStreamDestroy(stream_);
}

absl::Status PeerCommunicator::WaitReady() {
  SLUICE_RETURN_IF_ERROR(target_->WaitReady());
  if (stream_ != nullptr || options_.mode == AllReduceMode::kNccl) return absl::OkStatus();
  SLUICE_RETURN_IF_ERROR(device::SetDevice(options_.device));
  SLUICE_RETURN_IF_ERROR(ToStatus(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking),
                                  "cudaStreamCreateWithFlags"));
  SLUICE_RETURN_IF_ERROR(Meet());
  if (!ready_ && options_.mode == AllReduceMode::kPeer) {
    return absl::FailedPreconditionError(
        absl::StrCat("--all-reduce peer: the GPUs' memory cannot be shared: ", why_not_.message()));
  }
  return absl::OkStatus();
}

absl::Status PeerCommunicator::Meet() {
  if (world_size() != 2 && world_size() != 4 && world_size() != 8) {
    why_not_ = absl::UnavailableError(absl::StrCat(world_size(), " ranks, not 2, 4 or 8"));
    return absl::OkStatus();
  }
  // A float for each byte of the cards, for they are exchanged as sums.
  const size_t cards_values = sizeof(PeerCard) * static_cast<size_t>(world_size());
  SLUICE_ASSIGN_OR_RETURN(
      scratch_,
      device::DeviceBuffer::Allocate(
          static_cast<int64_t>(std::max<size_t>(cards_values, kTrialValues) * sizeof(float)),
          "the meeting of ranks"));
  auto memory = PeerMemory::Allocate(rank(), world_size(), options_.buffer_bytes);
  why_not_ = memory.status();
  if (memory.ok()) {
    const std::lock_guard lock(mutex_);
    memory_ = *std::move(memory);
    if (aborted_.load()) memory_->Abort();
  }
  std::vector<PeerCard> cards;
  SLUICE_RETURN_IF_ERROR(Exchange(memory_ != nullptr ? memory_->card() : PeerCard{}, &cards));
  const bool possible = std::all_of(cards.begin(), cards.end(),
                                    [](const PeerCard& card) { return card.usable == 1; });
  if (possible) {
    num_sms_ = static_cast<int>(std::ranges::min(cards, {}, &PeerCard::num_sms).num_sms);
    why_not_.Update(memory_->Open(cards));
  }
  bool good = false;
  SLUICE_RETURN_IF_ERROR(All(possible && why_not_.ok(), &good));
  if (good) {
    ready_ = true;  // for the trial
    why_not_.Update(TrySums());
    SLUICE_RETURN_IF_ERROR(All(why_not_.ok(), &good));
  }
  ready_ = good;
  if (good) return absl::OkStatus();
  if (why_not_.ok()) why_not_ = absl::UnavailableError("another rank cannot use it");
  // All have unmapped it before anyone frees it.
  if (memory_ != nullptr) memory_->Close();
  SLUICE_RETURN_IF_ERROR(All(true, &good));
  const std::lock_guard lock(mutex_);
  memory_.reset();
  return absl::OkStatus();
}

absl::Status PeerCommunicator::Exchange(const PeerCard& own, std::vector<PeerCard>* all) {
  // A gather to all out of a sum: everybody has zeros where the others have their bytes.
  constexpr size_t kBytes = sizeof(PeerCard);
  const size_t count = kBytes * static_cast<size_t>(world_size());
  std::vector<float> values(count, 0.0f);
  unsigned char bytes[kBytes];
  std::memcpy(bytes, &own, kBytes);
  std::copy_n(bytes, kBytes, values.begin() + static_cast<int64_t>(kBytes) * rank());
  auto* const data = scratch_.As<float>();
  const size_t size = count * sizeof(float);
  SLUICE_RETURN_IF_ERROR(Copy(data, values.data(), size, cudaMemcpyHostToDevice, stream_));
  SLUICE_RETURN_IF_ERROR(target_->AllReduceSum(data, static_cast<int64_t>(count), stream_));
  SLUICE_RETURN_IF_ERROR(Copy(values.data(), data, size, cudaMemcpyDeviceToHost, stream_));
  SLUICE_RETURN_IF_ERROR(Await(stream_, "the exchange of peer memory"));
  SLUICE_RETURN_IF_ERROR(target_->Check());
  all->resize(static_cast<size_t>(world_size()));
  for (size_t i = 0; i < all->size(); ++i) {
    std::transform(values.begin() + static_cast<int64_t>(i * kBytes),
                   values.begin() + static_cast<int64_t>((i + 1) * kBytes), bytes,
                   [](float value) { return static_cast<unsigned char>(value); });
    std::memcpy(&(*all)[i], bytes, kBytes);
  }
  return absl::OkStatus();
}

absl::Status PeerCommunicator::All(bool own, bool* all) {
  float votes = own ? 1.0f : 0.0f;
  auto* const data = scratch_.As<float>();
  SLUICE_RETURN_IF_ERROR(Copy(data, &votes, sizeof(votes), cudaMemcpyHostToDevice, stream_));
  SLUICE_RETURN_IF_ERROR(target_->AllReduceSum(data, 1, stream_));
  SLUICE_RETURN_IF_ERROR(Copy(&votes, data, sizeof(votes), cudaMemcpyDeviceToHost, stream_));
  SLUICE_RETURN_IF_ERROR(Await(stream_, "the exchange of peer memory"));
  SLUICE_RETURN_IF_ERROR(target_->Check());
  *all = votes == static_cast<float>(world_size());
  return absl::OkStatus();
}

absl::Status PeerCommunicator::TrySums() {
  std::vector<float> values(kTrialValues);
  auto* const data = scratch_.As<float>();
  const size_t size = values.size() * sizeof(float);
  // Often enough for every buffer's turn, and once more.
  for (int trial = 0; trial < 2 * (kernels::collective::kPeerBuffers + 1); ++trial) {
    const AllReducePath path = trial % 2 == 0 ? AllReducePath::kOneShot : AllReducePath::kTwoShot;
    for (size_t i = 0; i < values.size(); ++i) {
      values[i] = static_cast<float>((rank() + 1) * static_cast<int>(i % 1000) + trial);
    }
    SLUICE_RETURN_IF_ERROR(Copy(data, values.data(), size, cudaMemcpyHostToDevice, stream_));
    SLUICE_RETURN_IF_ERROR(
        AllReduceOn(path, kernels::awq::WholeOutput(data, 1, kTrialValues), data, stream_));
    const steady_clock::time_point until = steady_clock::now() + kTrialTimeout;
    while (cudaStreamQuery(stream_) == cudaErrorNotReady) {
      if (steady_clock::now() > until) {
        memory_->Abort();
        SLUICE_RETURN_IF_ERROR(Await(stream_, "the first sum over peer memory"));
        return absl::DeadlineExceededError("the first sum over peer memory did not end");
      }
      std::this_thread::sleep_for(std::chrono::microseconds(50));
    }
    SLUICE_RETURN_IF_ERROR(Copy(values.data(), data, size, cudaMemcpyDeviceToHost, stream_));
    SLUICE_RETURN_IF_ERROR(Await(stream_, "the first sum over peer memory"));
    const int ranks = world_size() * (world_size() + 1) / 2;
    for (size_t i = 0; i < values.size(); ++i) {
      const int expected = ranks * static_cast<int>(i % 1000) + world_size() * trial;
      if (values[i] != static_cast<float>(expected)) {
        return absl::InternalError("the first sum over peer memory gave wrong values");
      }
    }
  }
  return absl::OkStatus();
}

AllReducePath PeerCommunicator::PathOf(int64_t count) const {
  if (!ready_) return AllReducePath::kNccl;
  return ChooseAllReducePath(options_.mode, world_size(), count, options_.buffer_bytes);
}

NormPath PeerCommunicator::NormPathOf(int rows, int width) const {
  if (!ready_) return NormPath::kApart;
  return ChooseNormPath(options_.mode,
                        {.world_size = world_size(),
                         .rows = rows,
                         .width = width,
                         .num_sms = num_sms_,
                         .buffer_bytes = options_.buffer_bytes},
                        preferred_norm_path_);
}

absl::Status PeerCommunicator::AllReduceSum(float* data, int64_t count, cudaStream_t stream) {
  // A sum's values are counted in ints: more take NCCL.
  if (PathOf(count) == AllReducePath::kNccl) {
    return target_->AllReduceSum(data, count, stream);
  }
  return AllReduceLinear(kernels::awq::WholeOutput(data, 1, static_cast<int>(count)), data, stream);
}

absl::Status PeerCommunicator::AllReduceLinear(const LinearOutput& part, float* out,
                                               cudaStream_t stream) {
  return AllReduceOn(PathOf(int64_t{part.rows} * part.outputs), part, out, stream);
}

absl::StatusOr<std::optional<RowScale>> PeerCommunicator::AllReduceScaledNorm(
    const LinearOutput& part, const ScaledNorm& norm, cudaStream_t stream) {
  if (NormPathOf(part.rows, part.outputs) != NormPath::kScaled) return std::nullopt;
  if (aborted_.load()) return absl::CancelledError("the collectives were aborted");
  SLUICE_RETURN_IF_ERROR(ToStatus(kernels::collective::RunPeerAllReduceNorm(
      {.group = memory_->group(), .part = part, .norm = norm, .num_sms = num_sms_}, stream)));
  return kernels::collective::ScaleAfter(norm, part.outputs);
}

absl::StatusOr<bool> PeerCommunicator::AllReduceAddRmsNorm(const kernels::norm::AddRmsNorm& norm,
                                                           cudaStream_t stream) {
  if (NormPathOf(norm.rows, norm.width) != NormPath::kByRows) return false;
  if (aborted_.load()) return absl::CancelledError("the collectives were aborted");
  SLUICE_RETURN_IF_ERROR(ToStatus(kernels::collective::RunPeerAddRmsNorm(
      {.group = memory_->group(), .norm = norm, .num_sms = num_sms_}, stream)));
  return true;
}

absl::Status PeerCommunicator::AllReduceOn(AllReducePath path, const LinearOutput& part, float* out,
                                           cudaStream_t stream) {
  if (aborted_.load()) return absl::CancelledError("the collectives were aborted");
  if (path == AllReducePath::kNccl) return target_->AllReduceLinear(part, out, stream);
  if (!ready_) return absl::FailedPreconditionError("the ranks share no memory");
  return ToStatus(kernels::collective::RunPeerAllReduce(
      {.group = memory_->group(),
       .algorithm =
           path == AllReducePath::kOneShot ? PeerAlgorithm::kOneShot : PeerAlgorithm::kTwoShot,
       .part = part,
       .out = out,
       .num_sms = num_sms_},
      stream));
}

void PeerCommunicator::Abort() {
  target_->Abort();
  const std::lock_guard lock(mutex_);
  aborted_.store(true);
  if (memory_ != nullptr) memory_->Abort();
}

std::string PeerCommunicator::Describe() const {
  if (options_.mode == AllReduceMode::kNccl) return "sums over ranks go through NCCL";
  if (!ready_) {
    return absl::StrCat("sums over ranks go through NCCL alone; GPUs share no memory: ",
                        why_not_.message());
  }
  if (options_.mode == AllReduceMode::kPeer) {
    return "sums over ranks go through the GPUs' peer memory";
  }
  return "sums over ranks go through the GPUs' peer memory, the largest through NCCL";
}

}  // namespace sluice::worker
