// SPDX-License-Identifier: Apache-2.0
#include "tests/support/fake_nccl.h"

#include <cuda_runtime_api.h>

#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <utility>

#include "worker/parallel/nccl_api.h"

namespace sluice::worker {
namespace {

using nccl::DataType;
using nccl::Result;

size_t SizeOf(DataType type) { return type == nccl::kFloat32 ? sizeof(float) : 1; }

// What one rank brings to an operation. A send and the root's receives are one operation, gather.
struct Part {
  enum class Kind { kAllReduce, kBroadcast, kGather };
  Kind kind = Kind::kAllReduce;
  size_t count = 0;
  DataType type = nccl::kInt8;
  const void* send = nullptr;
  void* receive = nullptr;
  std::map<int, void*> receives = {};  // gather, the root's: by peer
};

struct Operation {
  std::map<int, const Part*> parts;
  bool done = false;
};

struct Group {
  int world_size = 0;
  int joined = 0;
  std::map<uint64_t, Operation> operations;
};

class State final : public FakeNccl {
 public:
  void Reset() override {
    const std::lock_guard lock(mutex);
    calls.clear();
    failures.clear();
    version = 22803;
    async_error = 0;
    abort_hangs = false;
  }
  std::vector<std::string> Calls(int rank) override {
    const std::lock_guard lock(mutex);
    return calls[rank];
  }
  void set_version(int value) override {
    const std::lock_guard lock(mutex);
    version = value;
  }
  void set_failure(const std::string& function, int result) override {
    const std::lock_guard lock(mutex);
    failures[function] = result;
  }
  void set_async_error(int result) override {
    const std::lock_guard lock(mutex);
    async_error = result;
  }
  void set_abort_hangs(bool hangs) override {
    const std::lock_guard lock(mutex);
    abort_hangs = hangs;
  }

  // REQUIRES: mutex is held.
  Result Failure(const std::string& function) {
    const auto failure = failures.find(function);
    return failure == failures.end() ? nccl::kSuccess : static_cast<Result>(failure->second);
  }

  std::mutex mutex;  // guards everything here and in the communicators
  std::condition_variable changed;
  std::map<std::string, Group> groups;  // by unique id
  std::map<int, std::vector<std::string>> calls;
  std::map<std::string, int> failures;
  int num_ids = 0;
  int version = 22803;
  int async_error = 0;
  bool abort_hangs = false;
};

// Never destroyed: threads may wait in it when the process ends.
State& TheState() {
  static State* const state = new State;
  return *state;
}

}  // namespace

struct nccl::CommState {
  Group* group = nullptr;
  int rank = 0;
  bool aborted = false;
  bool mismatch = false;
  uint64_t num_executed = 0;
  // Enqueued parts; entries stay, since a graph may run them any number of times.
  struct Enqueued {
    CommState* comm;
    Part part;
  };
  std::deque<Enqueued> enqueued;
};

namespace {

using nccl::Comm;

// Of this thread, between GroupStart and GroupEnd.
struct ThreadGroup {
  bool open = false;
  Comm comm = nullptr;
  cudaStream_t stream = nullptr;
  Part part;
};
thread_local ThreadGroup thread_group;

void Compute(Operation& operation) {
  const Part& root = *operation.parts.at(0);
  const size_t bytes = root.count * SizeOf(root.type);
  if (root.kind == Part::Kind::kGather) {
    for (const auto& [peer, to] : root.receives) {
      std::memcpy(to, operation.parts.at(peer)->send, bytes);
    }
    return;
  }
  if (root.kind == Part::Kind::kBroadcast) {
    for (const auto& [rank, part] : operation.parts) std::memmove(part->receive, root.send, bytes);
    return;
  }
  std::vector<float> sum(root.count, 0.0f);
  for (const auto& [rank, part] : operation.parts) {
    const auto* values = static_cast<const float*>(part->send);
    for (size_t i = 0; i < sum.size(); ++i) sum[i] += values[i];
  }
  for (const auto& [rank, part] : operation.parts) std::memcpy(part->receive, sum.data(), bytes);
}

bool Agree(const Part& a, const Part& b) {
  return a.kind == b.kind && a.count == b.count && a.type == b.type;
}

// On the stream's thread: waits for the peers; whoever comes last computes.
void Execute(void* argument) {
  const auto& [comm, part] = *static_cast<nccl::CommState::Enqueued*>(argument);
  State& state = TheState();
  std::unique_lock lock(state.mutex);
  if (comm->aborted) return;
  Operation& operation = comm->group->operations[comm->num_executed++];
  if (!operation.parts.empty() && !Agree(*operation.parts.begin()->second, part)) {
    comm->mismatch = true;
    return;
  }
  operation.parts[comm->rank] = &part;
  if (operation.parts.size() == static_cast<size_t>(comm->group->world_size)) {
    Compute(operation);
    operation.done = true;
    state.changed.notify_all();
  }
  state.changed.wait(lock, [&] { return operation.done || comm->aborted; });
}

// REQUIRES: the state's mutex is not held.
Result Enqueue(Comm comm, Part part, cudaStream_t stream) {
  void* argument = nullptr;
  {
    const std::lock_guard lock(TheState().mutex);
    comm->enqueued.push_back({comm, std::move(part)});
    argument = &comm->enqueued.back();
  }
  const bool ok = cudaLaunchHostFunc(stream, Execute, argument) == cudaSuccess;
  return ok ? nccl::kSuccess : nccl::kUnhandledCudaError;
}

// Logs the call; what the test wants it to return.
Result Called(Comm comm, const std::string& function, const std::string& detail) {
  const std::lock_guard lock(TheState().mutex);
  TheState().calls[comm->rank].push_back(detail.empty() ? function : function + " " + detail);
  return TheState().Failure(function);
}

}  // namespace
}  // namespace sluice::worker

using namespace sluice::worker;        // NOLINT: the functions below are C's
using namespace sluice::worker::nccl;  // NOLINT

extern "C" {

FakeNccl* sluice_fake_nccl() { return &TheState(); }

Result ncclGetVersion(int* version) {
  const std::lock_guard lock(TheState().mutex);
  *version = TheState().version;
  return kSuccess;
}

Result ncclGetUniqueId(UniqueId* id) {
  const std::lock_guard lock(TheState().mutex);
  // With bytes of zero in it, as the real one has.
  *id = {};
  const std::string text = "fake" + std::string(3, '\0') + std::to_string(TheState().num_ids++);
  std::copy(text.begin(), text.end(), id->internal);
  return TheState().Failure("GetUniqueId");
}

Result ncclCommInitRankConfig(Comm* comm, int world_size, UniqueId id, int rank, Config* config) {
  State& state = TheState();
  int device = -1;
  if (cudaGetDevice(&device) != cudaSuccess) return kUnhandledCudaError;
  std::unique_lock lock(state.mutex);
  state.calls[rank].push_back("Init " + std::to_string(world_size) + " device " +
                              std::to_string(device));
  if (config->size != sizeof(Config) || config->magic != kConfigMagic || config->blocking != 1) {
    return kInvalidArgument;
  }
  if (state.Failure("CommInitRankConfig") != kSuccess) return state.Failure("CommInitRankConfig");
  Group& group = state.groups[std::string(id.internal, sizeof(id.internal))];
  group.world_size = world_size;
  ++group.joined;
  state.changed.notify_all();
  state.changed.wait(lock, [&] { return group.joined == group.world_size; });
  *comm = new CommState;
  (*comm)->group = &group;
  (*comm)->rank = rank;
  return kSuccess;
}

// Neither frees: operations that are still enqueued refer to the communicator.
Result ncclCommDestroy(Comm comm) { return Called(comm, "Destroy", ""); }

Result ncclCommAbort(Comm comm) {
  Called(comm, "Abort", "");
  State& state = TheState();
  std::unique_lock lock(state.mutex);
  comm->aborted = true;
  state.changed.notify_all();
  state.changed.wait(lock, [&] { return !state.abort_hangs; });
  return kSuccess;
}

Result ncclCommGetAsyncError(Comm comm, Result* error) {
  const std::lock_guard lock(TheState().mutex);
  *error = comm->mismatch ? kInvalidUsage : static_cast<Result>(TheState().async_error);
  return kSuccess;
}

const char* ncclGetErrorString(Result result) {
  return result == kSuccess ? "no error" : result == kInvalidUsage ? "invalid usage" : "fake error";
}

const char* ncclGetLastError(Comm) { return "the fake's last words"; }

Result ncclAllReduce(const void* send, void* receive, size_t count, DataType type, ReduceOp op,
                     Comm comm, cudaStream_t stream) {
  const Result result = Called(comm, "AllReduce", std::to_string(count));
  if (result != kSuccess) return result;
  if (type != kFloat32 || op != kSum) return kInvalidArgument;
  return Enqueue(comm,
                 {.kind = Part::Kind::kAllReduce,
                  .count = count,
                  .type = type,
                  .send = send,
                  .receive = receive},
                 stream);
}

Result ncclBroadcast(const void* send, void* receive, size_t count, DataType type, int root,
                     Comm comm, cudaStream_t stream) {
  const Result result = Called(comm, "Broadcast", std::to_string(count));
  if (result != kSuccess) return result;
  if (root != 0) return kInvalidArgument;
  return Enqueue(comm,
                 {.kind = Part::Kind::kBroadcast,
                  .count = count,
                  .type = type,
                  .send = send,
                  .receive = receive},
                 stream);
}

Result ncclSend(const void* send, size_t count, DataType type, int peer, Comm comm,
                cudaStream_t stream) {
  const Result result = Called(comm, "Send", std::to_string(count));
  if (result != kSuccess) return result;
  if (peer != 0) return kInvalidArgument;
  return Enqueue(comm, {.kind = Part::Kind::kGather, .count = count, .type = type, .send = send},
                 stream);
}

Result ncclRecv(void* receive, size_t count, DataType type, int peer, Comm comm,
                cudaStream_t stream) {
  const Result result =
      Called(comm, "Recv", std::to_string(count) + " from " + std::to_string(peer));
  if (result != kSuccess) return result;
  if (!thread_group.open) return kInvalidUsage;
  thread_group.comm = comm;
  thread_group.stream = stream;
  thread_group.part.kind = Part::Kind::kGather;
  thread_group.part.count = count;
  thread_group.part.type = type;
  thread_group.part.receives[peer] = receive;
  return kSuccess;
}

Result ncclGroupStart() {
  thread_group = {};
  thread_group.open = true;
  return kSuccess;
}

Result ncclGroupEnd() {
  if (!thread_group.open) return kInvalidUsage;
  const ThreadGroup group = std::exchange(thread_group, {});
  if (group.comm == nullptr) return kSuccess;
  Called(group.comm, "GroupEnd", "");
  return Enqueue(group.comm, group.part, group.stream);
}

}  // extern "C"
