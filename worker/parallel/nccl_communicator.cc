// SPDX-License-Identifier: Apache-2.0
#include "worker/parallel/nccl_communicator.h"

#include <atomic>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "proto/wire/status_macros.h"

namespace sluice::worker {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

// How long an abort waits for a call that is being enqueued. Such calls wait for nobody, unless a
// connection is missing, and then only the abort ends them.
constexpr milliseconds kEnqueueGrace{200};

absl::Status CudaStatus(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return absl::OkStatus();
  return absl::InternalError(absl::StrCat(what, ": ", cudaGetErrorString(error)));
}

}  // namespace

class NcclCommunicator::Group : public std::enable_shared_from_this<Group> {
 public:
  Group(std::shared_ptr<const NcclLibrary> library, const nccl::UniqueId& id,
        const NcclOptions& options)
      : library_(std::move(library)), id_(id), options_(options) {}

  const NcclOptions& options() const { return options_; }

  void Start() {
    std::thread([self = shared_from_this()] { self->Initialize(); }).detach();
  }
  absl::Status WaitReady();
  absl::Status AllReduceSum(float* data, int64_t count, cudaStream_t stream);
  absl::Status GatherToRoot(const float* local, float* out, int64_t count, cudaStream_t stream);
  absl::Status Broadcast(void* data, int64_t bytes, cudaStream_t stream);
  absl::Status Check();
  void Abort();
  // Destroys NCCL's communicator if the group is well.
  void End();

 private:
  void Initialize();
  absl::Status Connect();
  absl::Status TryCollectives();
  absl::Status TryCollectivesOn(cudaStream_t stream, float* buffer);
  // After aborted_ was set: until no call is left, or for as long as one may take.
  void AwaitCalls();
  // Calls NCCL with the communicator, unless the group was aborted.
  template <typename Call>
  absl::Status Enqueue(const char* what, Call call);

  const nccl::Api& api() const { return library_->api(); }

  const std::shared_ptr<const NcclLibrary> library_;
  const nccl::UniqueId id_;
  const NcclOptions options_;

  // Held while NCCL is called with comm_, so that an abort does not free it under a call.
  std::mutex calls_;
  // Set before an abort takes calls_: who holds calls_ and sees false may use comm_.
  std::atomic<bool> aborted_{false};
  std::atomic<bool> broken_{false};  // a call failed: this rank is out of step with its peers

  std::mutex mutex_;  // never held while NCCL is called
  std::condition_variable changed_;
  nccl::Comm comm_ = nullptr;  // set once under mutex_ and calls_
  bool initialized_ = false;   // guarded by mutex_: init_status_ stands
  absl::Status init_status_;   // guarded by mutex_
};

void NcclCommunicator::Group::Initialize() {
  absl::Status status = Connect();
  if (status.ok()) status = TryCollectives();
  const std::lock_guard lock(mutex_);
  init_status_ = std::move(status);
  initialized_ = true;
  changed_.notify_all();
}

absl::Status NcclCommunicator::Group::Connect() {
  SLUICE_RETURN_IF_ERROR(CudaStatus(cudaSetDevice(options_.device), "cudaSetDevice"));
  nccl::Config config;
  config.blocking = 1;
  nccl::Comm comm = nullptr;
  const nccl::Result result =
      api().CommInitRankConfig(&comm, options_.world_size, id_, options_.rank, &config);
  SLUICE_RETURN_IF_ERROR(library_->ToStatus(result, "ncclCommInitRankConfig"));
  {
    const std::scoped_lock lock(mutex_, calls_);
    if (!aborted_.load()) {
      comm_ = comm;
      return absl::OkStatus();
    }
  }
  api().CommAbort(comm);  // the abort came before there was something to abort
  return absl::CancelledError("the collectives were aborted");
}

absl::Status NcclCommunicator::Group::TryCollectives() {
  cudaStream_t stream = nullptr;
  float* buffer = nullptr;
  const size_t bytes = static_cast<size_t>(options_.world_size + 2) * sizeof(float);
  absl::Status status = CudaStatus(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking),
                                   "cudaStreamCreateWithFlags");
  if (status.ok()) {
    status = CudaStatus(cudaMalloc(reinterpret_cast<void**>(&buffer), bytes), "cudaMalloc");
  }
  if (status.ok()) status = TryCollectivesOn(stream, buffer);
  if (!status.ok()) return status;  // the group is over, and freeing would wait for the stream
  SLUICE_RETURN_IF_ERROR(CudaStatus(cudaFree(buffer), "cudaFree"));
  return CudaStatus(cudaStreamDestroy(stream), "cudaStreamDestroy");
}

absl::Status NcclCommunicator::Group::TryCollectivesOn(cudaStream_t stream, float* buffer) {
  const int world = options_.world_size;
  const auto n = static_cast<size_t>(world);
  float* const sum = buffer;           // [1]
  float* const shared = buffer + 1;    // [1]
  float* const gathered = buffer + 2;  // [world], rank 0's
  const float own = static_cast<float>(options_.rank + 1);
  // The first transfer is of a few bytes from pageable memory: it has left own when it returns.
  SLUICE_RETURN_IF_ERROR(CudaStatus(
      cudaMemcpyAsync(sum, &own, sizeof(own), cudaMemcpyHostToDevice, stream), "cudaMemcpyAsync"));
  SLUICE_RETURN_IF_ERROR(
      CudaStatus(cudaMemcpyAsync(shared, &own, sizeof(own), cudaMemcpyHostToDevice, stream),
                 "cudaMemcpyAsync"));
  SLUICE_RETURN_IF_ERROR(GatherToRoot(shared, options_.rank == 0 ? gathered : nullptr, 1, stream));
  SLUICE_RETURN_IF_ERROR(AllReduceSum(sum, 1, stream));
  SLUICE_RETURN_IF_ERROR(Broadcast(shared, sizeof(float), stream));
  std::vector<float> values(n + 2);
  SLUICE_RETURN_IF_ERROR(
      CudaStatus(cudaMemcpyAsync(values.data(), buffer, values.size() * sizeof(float),
                                 cudaMemcpyDeviceToHost, stream),
                 "cudaMemcpyAsync"));
  SLUICE_RETURN_IF_ERROR(CudaStatus(cudaStreamSynchronize(stream), "the first collectives"));
  SLUICE_RETURN_IF_ERROR(Check());
  bool right = values[0] == static_cast<float>(world * (world + 1)) / 2.0f && values[1] == 1.0f;
  for (int rank = 0; options_.rank == 0 && rank < world; ++rank) {
    right &= values[static_cast<size_t>(rank) + 2] == static_cast<float>(rank + 1);
  }
  if (right) return absl::OkStatus();
  return absl::InternalError(
      "the first collectives of the group gave wrong values; NCCL's own tests (nccl-tests) and "
      "NCCL_DEBUG=INFO say more about this machine's links");
}

absl::Status NcclCommunicator::Group::WaitReady() {
  {
    std::unique_lock lock(mutex_);
    const auto ended = [this] { return initialized_ || aborted_.load(); };
    if (options_.init_timeout.count() == 0) {
      changed_.wait(lock, ended);
    } else {
      changed_.wait_for(lock, options_.init_timeout, ended);
    }
    if (aborted_.load()) return absl::CancelledError("the collectives were aborted");
    if (initialized_) return init_status_;
  }
  Abort();
  return absl::DeadlineExceededError(
      absl::StrCat("rank ", options_.rank, " of ", options_.world_size, " waited ",
                   options_.init_timeout.count(), " ms for the others to meet through NCCL"));
}

template <typename Call>
absl::Status NcclCommunicator::Group::Enqueue(const char* what, Call call) {
  const std::lock_guard lock(calls_);
  if (aborted_.load()) return absl::CancelledError("the collectives were aborted");
  if (comm_ == nullptr) return absl::FailedPreconditionError("the ranks have not met yet");
  absl::Status status = library_->ToStatus(call(api(), comm_), what);
  if (!status.ok()) broken_.store(true);
  return status;
}

absl::Status NcclCommunicator::Group::AllReduceSum(float* data, int64_t count,
                                                   cudaStream_t stream) {
  if (count == 0) return absl::OkStatus();
  return Enqueue("ncclAllReduce", [=](const nccl::Api& api, nccl::Comm comm) {
    return api.AllReduce(data, data, static_cast<size_t>(count), nccl::kFloat32, nccl::kSum, comm,
                         stream);
  });
}

absl::Status NcclCommunicator::Group::GatherToRoot(const float* local, float* out, int64_t count,
                                                   cudaStream_t stream) {
  if (count == 0) return absl::OkStatus();
  const auto size = static_cast<size_t>(count);
  if (options_.rank != 0) {
    return Enqueue("ncclSend", [=](const nccl::Api& api, nccl::Comm comm) {
      return api.Send(local, size, nccl::kFloat32, /*peer=*/0, comm, stream);
    });
  }
  if (local != out) {
    SLUICE_RETURN_IF_ERROR(CudaStatus(
        cudaMemcpyAsync(out, local, size * sizeof(float), cudaMemcpyDeviceToDevice, stream),
        "cudaMemcpyAsync"));
  }
  // One group, or each receive would wait for the one before it.
  return Enqueue("ncclRecv", [=, this](const nccl::Api& api, nccl::Comm comm) {
    nccl::Result result = api.GroupStart();
    for (int peer = 1; result == nccl::kSuccess && peer < options_.world_size; ++peer) {
      result = api.Recv(out + static_cast<size_t>(peer) * size, size, nccl::kFloat32, peer, comm,
                        stream);
    }
    const nccl::Result end = api.GroupEnd();
    return result == nccl::kSuccess ? end : result;
  });
}

absl::Status NcclCommunicator::Group::Broadcast(void* data, int64_t bytes, cudaStream_t stream) {
  if (bytes == 0) return absl::OkStatus();
  return Enqueue("ncclBroadcast", [=](const nccl::Api& api, nccl::Comm comm) {
    return api.Broadcast(data, data, static_cast<size_t>(bytes), nccl::kInt8, /*root=*/0, comm,
                         stream);
  });
}

absl::Status NcclCommunicator::Group::Check() {
  nccl::Result error = nccl::kSuccess;
  SLUICE_RETURN_IF_ERROR(
      Enqueue("ncclCommGetAsyncError", [&error](const nccl::Api& api, nccl::Comm comm) {
        return api.CommGetAsyncError(comm, &error);
      }));
  return library_->ToStatus(error, "a collective failed");
}

void NcclCommunicator::Group::AwaitCalls() {
  const steady_clock::time_point until = steady_clock::now() + kEnqueueGrace;
  while (steady_clock::now() < until) {
    const std::unique_lock lock(calls_, std::try_to_lock);
    if (lock.owns_lock()) return;
    std::this_thread::sleep_for(milliseconds(1));
  }
}

void NcclCommunicator::Group::Abort() {
  nccl::Comm comm = nullptr;
  {
    const std::lock_guard lock(mutex_);
    if (aborted_.exchange(true)) return;
    comm = comm_;
    changed_.notify_all();
  }
  if (comm == nullptr) return;  // Connect finds aborted_ set
  // It tells the kernels to end, then waits for streams and for graphs to be destroyed: longer than
  // the process lives, if it must be.
  std::thread([self = shared_from_this(), comm] {
    self->AwaitCalls();
    self->api().CommAbort(comm);
  }).detach();
}

void NcclCommunicator::Group::End() {
  bool well = false;
  {
    const std::lock_guard lock(mutex_);
    well = initialized_ && init_status_.ok() && !aborted_.load() && !broken_.load();
  }
  if (!well) return Abort();
  const std::lock_guard lock(calls_);
  api().CommDestroy(comm_);
}

absl::StatusOr<std::string> NcclCommunicator::MakeUniqueId(const NcclLibrary& library) {
  nccl::UniqueId id;
  SLUICE_RETURN_IF_ERROR(library.ToStatus(library.api().GetUniqueId(&id), "ncclGetUniqueId"));
  return std::string(id.internal, sizeof(id.internal));
}

absl::StatusOr<std::unique_ptr<NcclCommunicator>> NcclCommunicator::Start(
    std::shared_ptr<const NcclLibrary> library, const std::string& unique_id,
    const NcclOptions& options) {
  if (options.world_size < 2 || options.rank < 0 || options.rank >= options.world_size) {
    return absl::InvalidArgumentError(
        absl::StrCat("there is no rank ", options.rank, " of ", options.world_size));
  }
  nccl::UniqueId id;
  if (unique_id.size() != sizeof(id.internal)) {
    return absl::InvalidArgumentError(absl::StrCat("a group's NCCL id has ", sizeof(id.internal),
                                                   " bytes, not ", unique_id.size()));
  }
  std::memcpy(id.internal, unique_id.data(), sizeof(id.internal));
  auto group = std::make_shared<Group>(std::move(library), id, options);
  group->Start();
  return std::unique_ptr<NcclCommunicator>(new NcclCommunicator(std::move(group)));
}

NcclCommunicator::NcclCommunicator(std::shared_ptr<Group> group) : group_(std::move(group)) {}
NcclCommunicator::~NcclCommunicator() { group_->End(); }

int NcclCommunicator::rank() const { return group_->options().rank; }
int NcclCommunicator::world_size() const { return group_->options().world_size; }
absl::Status NcclCommunicator::WaitReady() { return group_->WaitReady(); }
absl::Status NcclCommunicator::AllReduceSum(float* data, int64_t count, cudaStream_t stream) {
  return group_->AllReduceSum(data, count, stream);
}
absl::Status NcclCommunicator::GatherToRoot(const float* local, float* out, int64_t count,
                                            cudaStream_t stream) {
  return group_->GatherToRoot(local, out, count, stream);
}
absl::Status NcclCommunicator::Broadcast(void* data, int64_t bytes, cudaStream_t stream) {
  return group_->Broadcast(data, bytes, stream);
}
absl::Status NcclCommunicator::Check() { return group_->Check(); }
void NcclCommunicator::Abort() { group_->Abort(); }

}  // namespace sluice::worker
