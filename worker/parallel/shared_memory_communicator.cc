// SPDX-License-Identifier: Apache-2.0
#include "worker/parallel/shared_memory_communicator.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cerrno>
#include <climits>
#include <cstring>
#include <new>
#include <random>
#include <system_error>
#include <thread>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "proto/wire/status_macros.h"

namespace sluice::worker {
namespace {

using Clock = std::chrono::steady_clock;

constexpr uint64_t kMagic = 0x31656369756C53ULL;  // "Sluice1"
constexpr size_t kLine = 64;
// The waiting rank's share of a step is a few microseconds behind at most; longer than this, the
// core is worth more to somebody else.
constexpr int kSpins = 1000;
// A sleeper looks up this often: it bounds how late it sees an abort that raced with its falling
// asleep.
constexpr std::chrono::milliseconds kNap{50};
// Floats summed at a time: the partial sums stay in the first-level cache.
constexpr size_t kBlock = 512;

struct alignas(kLine) RankState {
  // The last operation whose operand this rank has put into its slot. Stored with release after the
  // copy; a peer's acquire load makes the operand visible.
  std::atomic<uint32_t> published;
  std::atomic<uint32_t> sleepers;  // peers in futex wait on published
  std::atomic<uint32_t> joined;
};
static_assert(std::atomic<uint32_t>::is_always_lock_free);

std::string Reason(int error) { return std::generic_category().message(error); }

// Not private: the word is shared between processes.
void FutexWait(std::atomic<uint32_t>* word, uint32_t seen, std::chrono::milliseconds timeout) {
  timespec spec = {};
  spec.tv_nsec = std::chrono::nanoseconds(timeout).count();
  syscall(SYS_futex, word, FUTEX_WAIT, seen, &spec, nullptr, 0);
}
void FutexWakeAll(std::atomic<uint32_t>* word) {
  syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

void Relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// Operations wrap around: a is b or later.
bool AtLeast(uint32_t a, uint32_t b) { return static_cast<int32_t>(a - b) >= 0; }

size_t RoundUp(size_t bytes) { return (bytes + kLine - 1) / kLine * kLine; }

void AddBlock(const float* right, size_t size, float* left) {
  if (size == kBlock) {  // the constant bound lets the compiler vectorize
    for (size_t i = 0; i < kBlock; ++i) left[i] += right[i];
    return;
  }
  for (size_t i = 0; i < size; ++i) left[i] += right[i];
}

}  // namespace

// Laid out at the start of the mapping; two slots a rank follow.
struct SharedMemoryCommunicator::Segment {
  uint64_t magic;
  uint64_t nonce;  // tells this group's segment from another's that got the same process id and
                   // descriptor
  uint64_t world_size;
  uint64_t slot_bytes;
  alignas(kLine) std::atomic<uint32_t> aborted;
  RankState ranks[kMaxWorldSize];

  static size_t Bytes(int world_size, size_t slot_bytes) {
    return sizeof(Segment) + size_t{2} * static_cast<size_t>(world_size) * slot_bytes;
  }
  std::byte* SlotData(size_t index) {
    return reinterpret_cast<std::byte*>(this) + sizeof(Segment) + index * slot_bytes;
  }
};

absl::StatusOr<std::unique_ptr<SharedMemoryCommunicator>> SharedMemoryCommunicator::Create(
    int world_size, const SharedMemoryOptions& requested) {
  if (world_size < 2 || world_size > kMaxWorldSize) {
    return absl::InvalidArgumentError(
        absl::StrCat("a shared-memory group has 2 to ", kMaxWorldSize, " ranks, not ", world_size));
  }
  SharedMemoryOptions options = requested;
  options.slot_bytes = RoundUp(std::max(options.slot_bytes, kLine));
  const size_t bytes = Segment::Bytes(world_size, options.slot_bytes);
  const int fd = memfd_create("sluice-collectives", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0) {
    return absl::ResourceExhaustedError(
        absl::StrCat("shared memory of ", bytes, " bytes cannot be made: ", Reason(errno)));
  }
  // Sealed, so that no process can shrink it below a peer's feet (SIGBUS).
  void* memory = MAP_FAILED;
  if (ftruncate(fd, static_cast<off_t>(bytes)) == 0 &&
      fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) == 0) {
    memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  }
  if (memory == MAP_FAILED) {
    const std::string reason = Reason(errno);
    close(fd);
    return absl::ResourceExhaustedError(
        absl::StrCat("shared memory of ", bytes, " bytes cannot be mapped: ", reason));
  }
  auto* segment = new (memory) Segment{};
  std::random_device random;
  segment->magic = kMagic;
  segment->nonce = uint64_t{random()} << 32 | random();
  segment->world_size = static_cast<uint64_t>(world_size);
  segment->slot_bytes = options.slot_bytes;
  segment->ranks[0].joined.store(1);
  auto result = std::unique_ptr<SharedMemoryCommunicator>(
      new SharedMemoryCommunicator(0, world_size, options, fd, segment));
  result->segment_name_ =
      absl::StrCat("/proc/", getpid(), "/fd/", fd, ":", absl::Hex(segment->nonce));
  return result;
}

absl::StatusOr<std::unique_ptr<SharedMemoryCommunicator>> SharedMemoryCommunicator::Open(
    const std::string& segment_name, int rank, int world_size,
    const SharedMemoryOptions& requested) {
  const size_t colon = segment_name.find(':');
  uint64_t nonce = 0;
  if (!absl::StartsWith(segment_name, "/proc/") || colon == std::string::npos ||
      !absl::SimpleHexAtoi(segment_name.substr(colon + 1), &nonce)) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", segment_name, "' names no segment of collectives"));
  }
  const auto fail = [&](absl::string_view why) {
    return absl::FailedPreconditionError(
        absl::StrCat("rank ", rank, " cannot join the leader's shared memory ", segment_name, ": ",
                     why, "; CPU ranks must run on one host, in one PID namespace, as one user"));
  };
  if (world_size < 2 || world_size > kMaxWorldSize || rank < 1 || rank >= world_size) {
    return fail(absl::StrCat("there is no rank ", rank, " of ", world_size));
  }
  const int fd = open(segment_name.substr(0, colon).c_str(), O_RDWR | O_CLOEXEC);
  if (fd < 0) return fail(Reason(errno));
  struct stat info = {};
  const bool large_enough =
      fstat(fd, &info) == 0 && static_cast<size_t>(info.st_size) >= sizeof(Segment);
  const auto bytes = static_cast<size_t>(info.st_size);
  void* memory = MAP_FAILED;
  if (large_enough) memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close(fd);
  if (memory == MAP_FAILED) return fail("it is not a segment of collectives");
  auto* segment = static_cast<Segment*>(memory);
  const bool ours = segment->magic == kMagic && segment->nonce == nonce &&
                    segment->world_size == static_cast<uint64_t>(world_size) &&
                    segment->slot_bytes <= bytes &&
                    Segment::Bytes(world_size, segment->slot_bytes) == bytes;
  if (!ours || segment->ranks[rank].joined.exchange(1) != 0) {
    const std::string why = ours ? "this rank has joined already" : "it belongs to another group";
    munmap(memory, bytes);
    return fail(why);
  }
  SharedMemoryOptions options = requested;
  options.slot_bytes = segment->slot_bytes;
  return std::unique_ptr<SharedMemoryCommunicator>(
      new SharedMemoryCommunicator(rank, world_size, options, -1, segment));
}

SharedMemoryCommunicator::SharedMemoryCommunicator(int rank, int world_size,
                                                   const SharedMemoryOptions& options, int fd,
                                                   Segment* segment)
    : rank_(rank),
      world_size_(world_size),
      options_(options),
      spins_(std::thread::hardware_concurrency() >= static_cast<unsigned>(world_size) ? kSpins : 0),
      fd_(fd),
      segment_(segment) {}

SharedMemoryCommunicator::~SharedMemoryCommunicator() {
  munmap(segment_, Segment::Bytes(world_size_, options_.slot_bytes));
  if (fd_ >= 0) close(fd_);
}

void SharedMemoryCommunicator::Abort() {
  segment_->aborted.store(1);
  for (int rank = 0; rank < world_size_; ++rank) FutexWakeAll(&segment_->ranks[rank].published);
}

std::byte* SharedMemoryCommunicator::Slot(int rank) const {
  return segment_->SlotData(static_cast<size_t>(rank) * 2 + operation_ % 2);
}

absl::Status SharedMemoryCommunicator::Publish(const void* bytes, size_t size) {
  if (segment_->aborted.load(std::memory_order_acquire) != 0) {
    return absl::CancelledError("the collectives were aborted");
  }
  // Two slots alternate. A peer that has published the previous operation has finished the one
  // before it.
  SLUICE_RETURN_IF_ERROR(AwaitAll(operation_));
  ++operation_;
  if (size > 0) std::memcpy(Slot(rank_), bytes, size);
  RankState& own = segment_->ranks[rank_];
  // Sequentially consistent with the sleeper's increment and load: one of the two sees the other.
  own.published.store(operation_, std::memory_order_seq_cst);
  if (own.sleepers.load(std::memory_order_seq_cst) != 0) FutexWakeAll(&own.published);
  return absl::OkStatus();
}

absl::Status SharedMemoryCommunicator::Await(int peer, uint32_t operation) {
  const RankState& state = segment_->ranks[peer];
  for (int spin = 0; spin <= spins_; ++spin) {
    if (AtLeast(state.published.load(std::memory_order_acquire), operation)) {
      return absl::OkStatus();
    }
    Relax();
  }
  return Sleep(peer, operation);
}

absl::Status SharedMemoryCommunicator::AwaitAll(uint32_t operation) {
  for (int peer = 0; peer < world_size_; ++peer) {
    if (peer != rank_) SLUICE_RETURN_IF_ERROR(Await(peer, operation));
  }
  return absl::OkStatus();
}

absl::Status SharedMemoryCommunicator::Sleep(int peer, uint32_t operation) {
  RankState& state = segment_->ranks[peer];
  const Clock::time_point start = Clock::now();
  absl::Status status;
  state.sleepers.fetch_add(1, std::memory_order_seq_cst);
  while (true) {
    const uint32_t seen = state.published.load(std::memory_order_seq_cst);
    if (AtLeast(seen, operation)) break;
    if (segment_->aborted.load(std::memory_order_acquire) != 0) {
      status = absl::CancelledError("the collectives were aborted");
      break;
    }
    if (options_.timeout.count() > 0 && Clock::now() - start > options_.timeout) {
      status = absl::DeadlineExceededError(absl::StrCat("rank ", rank_, " waited ",
                                                        options_.timeout.count(), " ms for rank ",
                                                        peer, " in collective ", operation));
      break;
    }
    FutexWait(&state.published, seen, kNap);
  }
  state.sleepers.fetch_sub(1, std::memory_order_seq_cst);
  // Operands are out of step from here on: nobody may go on as if this had not happened.
  if (absl::IsDeadlineExceeded(status)) Abort();
  return status;
}

void SharedMemoryCommunicator::SumTree(int first, int count, size_t begin, size_t size,
                                       float* out) const {
  if (count == 1) {
    std::memcpy(out, Slot(first) + begin * sizeof(float), size * sizeof(float));
    return;
  }
  const int left = static_cast<int>(std::bit_floor(static_cast<unsigned>(count - 1)));
  float right_sum[kBlock];
  SumTree(first, left, begin, size, out);
  SumTree(first + left, count - left, begin, size, right_sum);
  AddBlock(right_sum, size, out);
}

absl::Status SharedMemoryCommunicator::AllReduceSum(std::span<float> data) {
  const size_t piece = options_.slot_bytes / sizeof(float);
  for (size_t begin = 0; begin < data.size(); begin += piece) {
    const std::span<float> part = data.subspan(begin, std::min(piece, data.size() - begin));
    SLUICE_RETURN_IF_ERROR(Publish(part.data(), part.size_bytes()));
    SLUICE_RETURN_IF_ERROR(AwaitAll(operation_));
    for (size_t i = 0; i < part.size(); i += kBlock) {
      SumTree(0, world_size_, i, std::min(kBlock, part.size() - i), part.data() + i);
    }
  }
  return absl::OkStatus();
}

absl::Status SharedMemoryCommunicator::Gather(std::span<const float> local, std::span<float> out) {
  if (rank_ == 0 && out.size() != local.size() * static_cast<size_t>(world_size_)) {
    return absl::InvalidArgumentError(absl::StrCat("Gather of ", local.size(), " values from ",
                                                   world_size_, " ranks into ", out.size()));
  }
  const size_t piece = options_.slot_bytes / sizeof(float);
  for (size_t begin = 0; begin < local.size(); begin += piece) {
    const std::span<const float> part = local.subspan(begin, std::min(piece, local.size() - begin));
    SLUICE_RETURN_IF_ERROR(Publish(part.data(), part.size_bytes()));
    if (rank_ != 0) continue;
    SLUICE_RETURN_IF_ERROR(AwaitAll(operation_));
    for (int rank = 0; rank < world_size_; ++rank) {
      std::memcpy(out.data() + static_cast<size_t>(rank) * local.size() + begin, Slot(rank),
                  part.size_bytes());
    }
  }
  return absl::OkStatus();
}

absl::Status SharedMemoryCommunicator::Broadcast(std::span<std::byte> data) {
  for (size_t begin = 0; begin < data.size(); begin += options_.slot_bytes) {
    const std::span<std::byte> part =
        data.subspan(begin, std::min(options_.slot_bytes, data.size() - begin));
    SLUICE_RETURN_IF_ERROR(Publish(part.data(), rank_ == 0 ? part.size() : 0));
    if (rank_ == 0) continue;
    SLUICE_RETURN_IF_ERROR(Await(0, operation_));
    std::memcpy(part.data(), Slot(0), part.size());
  }
  return absl::OkStatus();
}

}  // namespace sluice::worker
