// SPDX-License-Identifier: Apache-2.0
#include "tests/support/fake_nccl.h"

#include <cuda_runtime_api.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cinttypes>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
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

  size_t bytes() const { return count * SizeOf(type); }
};

// What the ranks of a group share, threads or processes: memory of the process that made the id, in
// which operations go piece by piece. Each rank counts the pieces that it has brought and those
// that it has taken from all.
struct Segment {
  static constexpr int kMaxRanks = 16;
  static constexpr size_t kPieceBytes = size_t{64} << 10;
  struct Slot {
    std::atomic<uint64_t> brought;
    std::atomic<uint64_t> taken;
    Part::Kind kind;  // of the operation whose piece this is
    size_t count;
    alignas(16) char piece[kPieceBytes];
  };
  std::atomic<int> joined;
  Slot slots[kMaxRanks];
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
    changed.notify_all();
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

  std::mutex mutex;  // guards what follows
  std::condition_variable changed;
  std::map<int, std::vector<std::string>> calls;
  std::map<std::string, int> failures;
  int version = 22803;
  int async_error = 0;
  bool abort_hangs = false;
};

// What a process's environment asks for (fake_nccl.h).
struct Orders {
  bool deaf = false;
  int broken_rank = -1;
  uint64_t good_pieces = 0;
};
const Orders& TheOrders() {
  static const Orders orders = [] {
    Orders from_environment;
    const char* const text = std::getenv("SLUICE_FAKE_NCCL");
    if (text == nullptr) return from_environment;
    from_environment.deaf = std::strstr(text, "deaf") != nullptr;
    if (const char* const order = std::strstr(text, "break=")) {
      std::sscanf(order, "break=%d:%" SCNu64, &from_environment.broken_rank,
                  &from_environment.good_pieces);
    }
    return from_environment;
  }();
  return orders;
}

// Never destroyed: threads may wait in it when the process ends.
State& TheState() {
  static State* const state = new State;
  return *state;
}

}  // namespace

struct nccl::CommState {
  Segment* segment = nullptr;  // never unmapped: an operation may still wait
  int rank = 0;
  int world_size = 0;
  std::atomic<bool> aborted{false};
  std::atomic<bool> mismatch{false};
  uint64_t num_pieces = 0;  // of the stream's thread
  // Enqueued parts; entries stay, since a graph may run them any number of times.
  struct Enqueued {
    CommState* comm;
    Part part;
  };
  std::deque<Enqueued> enqueued;  // guarded by the state's mutex
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

// False when the communicator was aborted first.
bool Await(const Comm comm, std::atomic<uint64_t> Segment::Slot::*count, uint64_t number) {
  for (int rank = 0; rank < comm->world_size; ++rank) {
    while ((comm->segment->slots[rank].*count).load() < number) {
      if (comm->aborted.load()) return false;
      usleep(50);
    }
  }
  return true;
}

// Takes the others' pieces, which begin at this offset of the operands.
void Take(const Comm comm, const Part& part, size_t offset, size_t bytes) {
  const auto piece = [&](int rank) { return comm->segment->slots[rank].piece; };
  if (part.kind == Part::Kind::kBroadcast) {
    std::memcpy(static_cast<char*>(part.receive) + offset, piece(0), bytes);
  }
  for (const auto& [peer, to] : part.receives) {
    std::memcpy(static_cast<char*>(to) + offset, piece(peer), bytes);
  }
  if (part.kind != Part::Kind::kAllReduce) return;
  auto* const sums = reinterpret_cast<float*>(static_cast<char*>(part.receive) + offset);
  for (size_t i = 0; i < bytes / sizeof(float); ++i) {
    float sum = 0.0f;
    for (int rank = 0; rank < comm->world_size; ++rank) {
      sum += reinterpret_cast<const float*>(piece(rank))[i];
    }
    sums[i] = sum;
  }
}

// On the stream's thread.
void Execute(void* argument) {
  const auto& [comm, part] = *static_cast<nccl::CommState::Enqueued*>(argument);
  Segment::Slot& own = comm->segment->slots[comm->rank];
  for (size_t offset = 0; offset < part.bytes(); offset += Segment::kPieceBytes) {
    const uint64_t number = ++comm->num_pieces;
    if (comm->rank == TheOrders().broken_rank && number > TheOrders().good_pieces) {
      comm->mismatch.store(true);
    }
    if (comm->mismatch.load()) return;
    const size_t bytes = std::min(Segment::kPieceBytes, part.bytes() - offset);
    if (!Await(comm, &Segment::Slot::taken, number - 1)) return;
    own.kind = part.kind;
    own.count = part.count;
    if (part.send != nullptr) {
      std::memcpy(own.piece, static_cast<const char*>(part.send) + offset, bytes);
    }
    own.brought.store(number);
    if (!Await(comm, &Segment::Slot::brought, number)) return;
    for (int rank = 0; rank < comm->world_size; ++rank) {
      const Segment::Slot& slot = comm->segment->slots[rank];
      if (slot.kind != part.kind || slot.count != part.count) comm->mismatch.store(true);
    }
    if (comm->mismatch.load()) return;
    Take(comm, part, offset, bytes);
    own.taken.store(number);
  }
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
  *id = {};  // most bytes are zero, as in the real one
  // Open as long as the process: the others reach it through /proc.
  const int fd = memfd_create("fake-nccl", MFD_CLOEXEC);
  if (fd < 0 || ftruncate(fd, sizeof(Segment)) != 0) return kSystemError;
  std::snprintf(id->internal, sizeof(id->internal), "/proc/%d/fd/%d", getpid(), fd);
  const std::lock_guard lock(TheState().mutex);
  return TheState().Failure("GetUniqueId");
}

Result ncclCommInitRankConfig(Comm* comm, int world_size, UniqueId id, int rank, Config* config) {
  State& state = TheState();
  int device = -1;
  if (cudaGetDevice(&device) != cudaSuccess) return kUnhandledCudaError;
  {
    const std::lock_guard lock(state.mutex);
    state.calls[rank].push_back("Init " + std::to_string(world_size) + " device " +
                                std::to_string(device));
    const Result failure = state.Failure("CommInitRankConfig");
    if (failure != kSuccess) return failure;
  }
  if (config->size != sizeof(Config) || config->magic != kConfigMagic || config->blocking != 1 ||
      world_size > Segment::kMaxRanks) {
    return kInvalidArgument;
  }
  const int fd = open(id.internal, O_RDWR | O_CLOEXEC);
  if (fd < 0) return kRemoteError;
  void* const memory = mmap(nullptr, sizeof(Segment), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close(fd);
  if (memory == MAP_FAILED) return kSystemError;
  auto* const segment = static_cast<Segment*>(memory);  // zeros are its beginning
  segment->joined.fetch_add(1);
  while (segment->joined.load() < world_size) usleep(1000);
  *comm = new CommState;
  (*comm)->segment = segment;
  (*comm)->rank = rank;
  (*comm)->world_size = world_size;
  return kSuccess;
}

// Neither frees: operations that are still enqueued refer to the communicator.
Result ncclCommDestroy(Comm comm) { return Called(comm, "Destroy", ""); }

Result ncclCommAbort(Comm comm) {
  Called(comm, "Abort", "");
  comm->aborted.store(!TheOrders().deaf);
  State& state = TheState();
  std::unique_lock lock(state.mutex);
  state.changed.wait(lock, [&] { return !state.abort_hangs; });
  return kSuccess;
}

Result ncclCommGetAsyncError(Comm comm, Result* error) {
  const std::lock_guard lock(TheState().mutex);
  *error = comm->mismatch.load() ? kInvalidUsage : static_cast<Result>(TheState().async_error);
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
