// SPDX-License-Identifier: Apache-2.0
#include "tests/cuda_emulation/simt.h"

#include <link.h>
#include <signal.h>
#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "tests/cuda_emulation/block_barriers.h"
#include "tests/cuda_emulation/chain_writes.h"
#include "tests/cuda_emulation/fiber.h"
#include "tests/cuda_emulation/memory.h"
#include "tests/cuda_emulation/symbol_name.h"

// Where the kernels find themselves (include/cuda_runtime.h).
uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

// The kernels' static __shared__ variables, gathered by shared_memory.ld; null without it.
extern "C" {
[[gnu::weak]] extern uint8_t sluice_static_shared_begin[];
[[gnu::weak]] extern uint8_t sluice_static_shared_end[];
}

namespace sluice::cuda_emulation {
namespace {

constexpr int kPoison = 0xff;
constexpr size_t kSharedAlignment = 1024;

enum class State { kReady, kAtBarrier, kAtWarpOperation, kAtCondition, kEnded };

struct AsyncCopy {
  uint8_t* shared;
  const uint8_t* global;  // null: zeros
  int group;
};

// Sums of a product that was issued.
struct ProductSums {
  float* sums;
  std::vector<float> values;  // as they will be; before the commit the sums themselves have them
  int group;
};

// What a product reads.
struct ProductOperand {
  const uint8_t* shared;
  std::array<uint8_t, 16> bytes;
  Place place;
  int group;
};

struct Warp;

struct Thread {
  Fiber fiber;
  uint3 index = {};
  int number = 0;  // in the block
  Warp* warp = nullptr;
  uint32_t lane_bit = 0;
  State state = State::kEnded;
  bool waited = false;  // its last turn ended in WaitTurn
  Place place;          // where it waits
  // The warp operation it waits for.
  uint32_t mask = 0;
  WarpWork work = nullptr;
  void* operand = nullptr;
  // The condition.
  Condition holds = nullptr;
  void* what = nullptr;
  // Copies under way, oldest first, and the group that the next one joins.
  std::deque<AsyncCopy> copies;
  int open_group = 0;
  // The same of products.
  std::vector<ProductSums> products;
  std::vector<ProductOperand> product_operands;
  int open_product_group = 0;
  bool may_access = false;  // not, in a chained grid, before it has waited
};

struct Warp {
  Thread* lanes[kWarpLanes] = {};
  uint32_t alive = 0;    // lanes that there are and that have not ended
  uint32_t waiting = 0;  // for a warp operation
};

// One block of the grid: what has to be kept while it is set aside, waiting for memory.
struct Block {
  uint3 index = {};
  std::vector<std::unique_ptr<Thread>> threads;  // as many as the largest block so far
  Warp warps[kMaxBlockThreads / kWarpLanes];
  int num_alive = 0;
  int num_at_barrier = 0;
  std::vector<uint8_t> shared;  // while it is set aside
};

// xorshift64*
class Draws {
 public:
  explicit Draws(uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15u + 1) {}
  uint32_t Below(uint32_t bound) {
    state_ ^= state_ >> 12;
    state_ ^= state_ << 25;
    state_ ^= state_ >> 27;
    return static_cast<uint32_t>((state_ * 0x2545f4914f6cdd1du >> 33) % bound);
  }

 private:
  uint64_t state_;
};

uint64_t SeedOfEnvironment() {
  const char* text = std::getenv("SLUICE_EMULATION_SEED");
  return text == nullptr ? 1 : std::strtoull(text, nullptr, 10);
}

// Dynamic shared memory, which ends at a page that faults.
class SharedMemory {
 public:
  SharedMemory() {
    void* memory = mmap(nullptr, kPageBytes + kBytes + kPageBytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) std::abort();
    begin_ = static_cast<uint8_t*>(memory) + kPageBytes;
    mprotect(begin_ - kPageBytes, kPageBytes, PROT_NONE);
    mprotect(begin_ + kBytes, kPageBytes, PROT_NONE);
  }

  void Resize(size_t bytes) {
    bytes_ = bytes;
    data_ = begin_ + kBytes - (bytes + kSharedAlignment - 1) / kSharedAlignment * kSharedAlignment;
    std::memset(begin_, kGuard, static_cast<size_t>(data_ - begin_));
    std::memset(data_ + bytes, kGuard, static_cast<size_t>(begin_ + kBytes - data_ - bytes));
  }
  void Poison() {
    std::memset(data_, kPoison, bytes_);
    if (sluice_static_shared_begin != nullptr) {
      std::memset(sluice_static_shared_begin, kPoison,
                  static_cast<size_t>(sluice_static_shared_end - sluice_static_shared_begin));
    }
  }
  // What the block has in it, for the time that it is set aside.
  std::vector<uint8_t> Save() const {
    std::vector<uint8_t> saved(data_, data_ + bytes_);
    saved.insert(saved.end(), sluice_static_shared_begin, sluice_static_shared_end);
    return saved;
  }
  void Restore(const std::vector<uint8_t>& saved) {
    std::copy_n(saved.begin(), bytes_, data_);
    std::copy(saved.begin() + static_cast<std::ptrdiff_t>(bytes_), saved.end(),
              sluice_static_shared_begin);
  }
  bool GuardsHold() const {
    // Far below, nothing of this launch's size would land.
    const uint8_t* from = data_ - begin_ > 4096 ? data_ - 4096 : begin_;
    for (const uint8_t* at = from; at < data_; ++at) {
      if (*at != kGuard) return false;
    }
    for (const uint8_t* at = data_ + bytes_; at < begin_ + kBytes; ++at) {
      if (*at != kGuard) return false;
    }
    return true;
  }
  // Of the room for dynamic shared memory, whatever this block has of it.
  bool IsNear(const uint8_t* pointer) const {
    return pointer >= begin_ && pointer < begin_ + kBytes;
  }
  bool Contains(const uint8_t* pointer, size_t bytes) const {
    return Within(pointer, bytes, data_, data_ + bytes_) ||
           Within(pointer, bytes, sluice_static_shared_begin, sluice_static_shared_end);
  }
  uint8_t* data() const { return data_; }

 private:
  static constexpr size_t kPageBytes = 4096;
  static constexpr size_t kBytes = (kMaxSharedBytes + kPageBytes - 1) / kPageBytes * kPageBytes;
  static constexpr uint8_t kGuard = 0xa5;

  static bool Within(const uint8_t* pointer, size_t bytes, const uint8_t* begin,
                     const uint8_t* end) {
    return pointer >= begin && pointer + bytes <= end;
  }

  uint8_t* begin_;
  uint8_t* data_ = nullptr;
  size_t bytes_ = 0;
};

struct Range {
  const uint8_t* begin = nullptr;
  const uint8_t* end = nullptr;
};

// Where the program, or the library that this is linked into, lies in memory.
Range OwnImage() {
  Range image;
  dl_iterate_phdr(
      [](dl_phdr_info* info, size_t, void* argument) {
        Range module;
        for (int i = 0; i < info->dlpi_phnum; ++i) {
          const auto& segment = info->dlpi_phdr[i];
          if (segment.p_type != PT_LOAD) continue;
          const auto* begin = reinterpret_cast<const uint8_t*>(info->dlpi_addr + segment.p_vaddr);
          if (module.begin == nullptr) module.begin = begin;
          module.end = begin + segment.p_memsz;  // segments ascend
        }
        const auto* own = reinterpret_cast<const uint8_t*>(&RunGrid);
        if (own < module.begin || own >= module.end) return 0;
        *static_cast<Range*>(argument) = module;
        return 1;
      },
      &image);
  return image;
}

// Everything about the grid that runs; there is one at a time.
struct Machine {
  std::mutex mutex;  // held while a grid runs
  uint64_t seed = SeedOfEnvironment();
  SharedMemory shared;
  std::vector<std::unique_ptr<Block>> idle;  // for the next one
  const GridConfig* config = nullptr;
  const std::function<void()>* body = nullptr;
  int num_threads = 0;     // of a block
  Block* block = nullptr;  // that runs, or ran last
  Thread* current = nullptr;
  // Allocations that the grid has used, so that they are found fast.
  const Range image = OwnImage();
  Range arguments;
  Range ranges[8];
  size_t next_range = 0;
  uint64_t chain = 0;  // that the grid belongs to
  uint64_t num_chains = 0;
  ChainWrites chain_writes;
};

Machine& the_machine = *new Machine;  // outlives the threads of streams

Machine& TheMachine() { return the_machine; }

Thread& Current() { return *TheMachine().current; }

void PrintContext(FILE* out) {
  const Machine& machine = TheMachine();
  if (machine.config == nullptr) return;
  std::fprintf(out, "  kernel %s, block (%u, %u, %u)", SymbolName(machine.config->kernel).c_str(),
               blockIdx.x, blockIdx.y, blockIdx.z);
  if (machine.current != nullptr) {
    const uint3& index = machine.current->index;
    std::fprintf(out, ", thread (%u, %u, %u)", index.x, index.y, index.z);
  }
  std::fprintf(out, "\n");
}

void PrintPlace(const Place& place) {
  std::fprintf(stderr, "%s:%u in %s\n", place.file_name(), place.line(), place.function_name());
}

// A stray access of the kernel: says where, then lets the process die of it.
void OnFault(int signal_number, siginfo_t* info, void*) {
  if (TheMachine().config != nullptr) {
    std::fprintf(stderr, "CUDA emulation: access to %p, which is no memory of the device\n",
                 info->si_addr);
    PrintContext(stderr);
  }
  signal(signal_number, SIG_DFL);
  raise(signal_number);
}

void InstallFaultHandler() {
  static const bool installed = [] {
    struct sigaction action = {};
    action.sa_sigaction = OnFault;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    return sigaction(SIGSEGV, &action, nullptr) == 0 && sigaction(SIGBUS, &action, nullptr) == 0;
  }();
  static_cast<void>(installed);
  // The handler's stack is each OS thread's own: a fiber's may be what has overflowed.
  thread_local std::array<char, 64 * 1024> handler_stack;
  thread_local const bool has_stack = [] {
    const stack_t stack = {
        .ss_sp = handler_stack.data(), .ss_flags = 0, .ss_size = handler_stack.size()};
    return sigaltstack(&stack, nullptr) == 0;
  }();
  static_cast<void>(has_stack);
}

// ---- what threads wait for

// Whether all of the mask that have not ended wait for the operation that `thread` came to.
bool AllHere(const Thread& thread) {
  const Warp& warp = *thread.warp;
  const uint32_t others = warp.waiting & thread.mask & ~thread.lane_bit;
  if (others != 0) {
    const int lane = std::countr_zero(others);
    const Thread& other = *warp.lanes[lane];
    if (other.work != thread.work || other.mask != thread.mask) {
      std::fprintf(stderr, "CUDA emulation: lane %d of the warp waits for another operation at ",
                   lane);
      PrintPlace(other.place);
      Fail("lanes of one mask meet at different warp operations", thread.place);
    }
  }
  return (warp.waiting & thread.mask) == (warp.alive & thread.mask);
}

void DoWork(const Thread& thread) {
  Warp& warp = *thread.warp;
  void* operands[kWarpLanes] = {};
  for (uint32_t left = thread.mask & warp.waiting; left != 0; left &= left - 1) {
    const int lane = std::countr_zero(left);
    operands[lane] = warp.lanes[lane]->operand;
    warp.lanes[lane]->state = State::kReady;
  }
  warp.waiting &= ~thread.mask;
  thread.work(operands);
}

bool BarrierComplete() {
  const Block& block = *TheMachine().block;
  return block.num_at_barrier > 0 && block.num_at_barrier == block.num_alive;
}

void OpenBarrier() {
  Machine& machine = TheMachine();
  const Place* first = nullptr;
  for (int i = 0; i < machine.num_threads; ++i) {
    Thread& thread = *machine.block->threads[static_cast<size_t>(i)];
    if (thread.state != State::kAtBarrier) continue;
    if (first == nullptr) first = &thread.place;
    if (thread.place.line() != first->line() || thread.place.file_name() != first->file_name()) {
      std::fprintf(stderr, "CUDA emulation: thread %d waits at ", i);
      PrintPlace(thread.place);
      Fail("threads of one block meet at different barriers", *first);
    }
    thread.state = State::kReady;
  }
  machine.block->num_at_barrier = 0;
}

void EndThread() {
  Thread& thread = Current();
  if (!thread.products.empty()) {
    Fail("a thread ends while products are under way", Place::current());
  }
  if (!thread.may_access) {
    Fail("a thread of a chained kernel ended without WaitForPrevious", Place::current());
  }
  thread.state = State::kEnded;
  --TheMachine().block->num_alive;
  if (BarrierComplete()) OpenBarrier();
  Warp& warp = *thread.warp;
  warp.alive &= ~thread.lane_bit;
  for (uint32_t left = warp.waiting; left != 0; left &= left - 1) {
    const Thread& other = *warp.lanes[std::countr_zero(left)];
    if (other.state == State::kAtWarpOperation && AllHere(other)) DoWork(other);
  }
  thread.fiber.Suspend();
}

[[noreturn]] void ReportDeadlock() {
  Machine& machine = TheMachine();
  machine.current = nullptr;
  std::fprintf(stderr, "CUDA emulation: no thread of the block can go on\n");
  PrintContext(stderr);
  const char* last_file = nullptr;
  unsigned last_line = 0;
  for (int i = 0; i < machine.num_threads; ++i) {
    const Thread& thread = *machine.block->threads[static_cast<size_t>(i)];
    if (thread.state == State::kEnded || thread.state == State::kReady) continue;
    if (thread.place.line() == last_line && thread.place.file_name() == last_file) continue;
    last_line = thread.place.line();
    last_file = thread.place.file_name();
    std::fprintf(
        stderr, "  from thread %d on, waiting %s ", i,
        thread.state == State::kAtWarpOperation ? "for lanes of its warp" : "at the barrier");
    PrintPlace(thread.place);
  }
  std::abort();
}

// ---- the schedule

// One turn for each lane that can go on. False if none got further than to wait for memory.
bool RunWarp(int warp, Draws& draws) {
  Machine& machine = TheMachine();
  const int behind = machine.num_threads - warp * kWarpLanes;
  const int lanes = behind < kWarpLanes ? behind : kWarpLanes;
  const int start = static_cast<int>(draws.Below(static_cast<uint32_t>(lanes)));
  const bool backwards = draws.Below(2) == 1;
  bool any = false;
  for (int i = 0; i < lanes; ++i) {
    const int lane = (backwards ? start + lanes - i : start + i) % lanes;
    Thread& thread = *machine.block->warps[warp].lanes[lane];
    if (thread.state == State::kAtCondition && thread.holds(thread.what)) {
      thread.state = State::kReady;
    }
    if (thread.state != State::kReady) continue;
    thread.waited = false;
    machine.current = &thread;
    threadIdx = thread.index;
    thread.fiber.Resume();
    any |= !thread.waited;
  }
  return any;
}

void StartBlock(Block& block) {
  Machine& machine = TheMachine();
  machine.shared.Poison();
  while (block.threads.size() < static_cast<size_t>(machine.num_threads)) {
    block.threads.push_back(std::make_unique<Thread>());
  }
  block.num_alive = machine.num_threads;
  block.num_at_barrier = 0;
  for (int i = 0; i < machine.num_threads; ++i) {
    Thread& thread = *block.threads[static_cast<size_t>(i)];
    const auto number = static_cast<unsigned>(i);
    thread.number = i;
    thread.index = {number % blockDim.x, number / blockDim.x % blockDim.y,
                    number / blockDim.x / blockDim.y};
    Warp& warp = block.warps[i / kWarpLanes];
    if (i % kWarpLanes == 0) warp = {};
    thread.warp = &warp;
    thread.lane_bit = 1u << i % kWarpLanes;
    warp.lanes[i % kWarpLanes] = &thread;
    warp.alive |= thread.lane_bit;
    thread.state = State::kReady;
    thread.copies.clear();
    thread.open_group = 0;
    thread.products.clear();
    thread.product_operands.clear();
    thread.open_product_group = 0;
    thread.may_access = !machine.config->chained;
    thread.fiber.Start(
        [](void*) {
          (*TheMachine().body)();
          EndThread();
        },
        nullptr);
  }
}

bool WaitsForMemory(const Block& block, int num_threads) {
  for (int i = 0; i < num_threads; ++i) {
    const Thread& thread = *block.threads[static_cast<size_t>(i)];
    if (thread.state == State::kReady && thread.waited) return true;
  }
  return false;
}

// Until its threads have ended; false when all that could go on wait for memory.
bool RunBlock(Block& block, Draws& draws) {
  Machine& machine = TheMachine();
  machine.block = &block;
  blockIdx = block.index;
  const int num_warps = (machine.num_threads + kWarpLanes - 1) / kWarpLanes;
  while (block.num_alive > 0) {
    bool any = false;
    const auto start = draws.Below(static_cast<uint32_t>(num_warps));
    for (int i = 0; i < num_warps; ++i) {
      const int warp = (static_cast<int>(start) + i) % num_warps;
      // Now and then a warp runs as far as it can before the others get a turn.
      const bool far = draws.Below(4) == 0;
      bool ran = RunWarp(warp, draws);
      any |= ran;
      while (far && ran) ran = RunWarp(warp, draws);
    }
    if (any) continue;
    if (!WaitsForMemory(block, machine.num_threads)) ReportDeadlock();
    machine.current = nullptr;
    block.shared = machine.shared.Save();
    return false;
  }
  machine.current = nullptr;
  EndBlockOfBarriers();
  if (!machine.shared.GuardsHold()) {
    Fail("the block wrote around its dynamic shared memory", Place::current());
  }
  return true;
}

// Pieces of a stream's work, counted by the thread that does them; twice where nothing chains.
thread_local uint64_t work_number = 0;
thread_local uint64_t work_of_last_grid = 0;
thread_local uint64_t last_chain = 0;

// Which chain a grid belongs to that is about to run. REQUIRES: the mutex.
uint64_t ChainOf(const GridConfig& config) {
  const bool follows = config.chained && work_number == work_of_last_grid + 1;
  if (!follows) last_chain = ++TheMachine().num_chains;
  work_of_last_grid = work_number;
  return last_chain;
}

// REQUIRES: the mutex.
void EnterGrid(const GridConfig& config, uint64_t chain, const std::function<void()>& body) {
  Machine& machine = TheMachine();
  machine.config = &config;
  machine.chain = chain;
  machine.body = &body;
  machine.num_threads = static_cast<int>(config.block.x * config.block.y * config.block.z);
  machine.shared.Resize(config.shared_bytes);
  std::fill(std::begin(machine.ranges), std::end(machine.ranges), Range{});
  const auto* arguments = static_cast<const uint8_t*>(config.arguments);
  machine.arguments = {arguments, arguments + config.argument_bytes};
  blockDim = config.block;
  gridDim = config.grid;
}

std::unique_ptr<Block> TakeBlock() {
  auto& idle = TheMachine().idle;
  if (idle.empty()) return std::make_unique<Block>();
  std::unique_ptr<Block> block = std::move(idle.back());
  idle.pop_back();
  return block;
}

}  // namespace

void BeginWork(bool after_idle) { work_number += after_idle ? 2 : 1; }

void RunGrid(const GridConfig& config, const std::function<void()>& body) {
  Machine& machine = TheMachine();
  std::unique_lock<std::mutex> lock(machine.mutex);
  InstallFaultHandler();
  const uint64_t chain = ChainOf(config);
  EnterGrid(config, chain, body);
  Draws draws(machine.seed);
  const uint64_t num_blocks = uint64_t{gridDim.x} * gridDim.y * gridDim.z;
  const uint64_t start = draws.Below(static_cast<uint32_t>(num_blocks));
  const bool backwards = draws.Below(2) == 1;
  std::vector<std::unique_ptr<Block>> waiting;  // all of them together, as if on a GPU
  for (uint64_t i = 0; i < num_blocks; ++i) {
    const uint64_t number = (backwards ? start + num_blocks - i : start + i) % num_blocks;
    std::unique_ptr<Block> block = TakeBlock();
    block->index = {static_cast<unsigned>(number % gridDim.x),
                    static_cast<unsigned>(number / gridDim.x % gridDim.y),
                    static_cast<unsigned>(number / gridDim.x / gridDim.y)};
    StartBlock(*block);
    (RunBlock(*block, draws) ? machine.idle : waiting).push_back(std::move(block));
  }
  while (!waiting.empty()) {
    machine.config = nullptr;
    lock.unlock();
    std::this_thread::sleep_for(std::chrono::microseconds(50));
    lock.lock();
    EnterGrid(config, chain, body);
    std::erase_if(waiting, [&](std::unique_ptr<Block>& block) {
      machine.shared.Restore(block->shared);
      if (!RunBlock(*block, draws)) return false;
      machine.idle.push_back(std::move(block));
      return true;
    });
  }
  // A block keeps fibers for the largest that it has been, and there are only so many.
  constexpr size_t kMostIdle = 4;
  if (machine.idle.size() > kMostIdle) machine.idle.resize(kMostIdle);
  machine.config = nullptr;
}

void SetSchedulingSeed(uint64_t seed) {
  Machine& machine = TheMachine();
  const std::lock_guard<std::mutex> lock(machine.mutex);
  machine.seed = seed;
}

int Lane() { return Current().number % kWarpLanes; }

uint8_t* DynamicShared() { return TheMachine().shared.data(); }

void BlockBarrier(Place place) {
  ++TheMachine().block->num_at_barrier;
  Thread& thread = Current();
  thread.state = State::kAtBarrier;
  thread.place = place;
  if (BarrierComplete()) {
    OpenBarrier();
  } else {
    thread.fiber.Suspend();
  }
}

void WaitTurn() {
  Thread& thread = Current();
  thread.waited = true;
  thread.fiber.Suspend();
}

void WarpOperation(uint32_t mask, WarpWork work, void* operand, Place place) {
  Thread& thread = Current();
  if ((mask & thread.lane_bit) == 0)
    Fail("a lane calls a warp operation whose mask lacks it", place);
  thread.mask = mask;
  thread.work = work;
  thread.operand = operand;
  thread.state = State::kAtWarpOperation;
  thread.warp->waiting |= thread.lane_bit;
  thread.place = place;
  if (AllHere(thread)) {
    DoWork(thread);
  } else {
    thread.fiber.Suspend();
  }
}

void WholeWarpOperation(WarpWork work, void* operand, Place place) {
  if (Current().warp->alive != kAllLanes) {
    Fail("an instruction of the whole warp, of which a lane has ended or never was", place);
  }
  WarpOperation(kAllLanes, work, operand, place);
}

void WaitUntil(Condition holds, void* what, Place place) {
  if (holds(what)) return;
  Thread& thread = Current();
  thread.holds = holds;
  thread.what = what;
  thread.place = place;
  thread.state = State::kAtCondition;
  thread.fiber.Suspend();
}

void CopyAsync16(void* shared, const void* global, bool use, Place place) {
  CheckShared(shared, 16, place);
  if (reinterpret_cast<uintptr_t>(global) % 16 != 0) {
    Fail("cp.async from an address that is not a multiple of 16", place);
  }
  if (use) CheckConstantAccess(global, 16);
  Thread& thread = Current();
  const auto* from = static_cast<const uint8_t*>(global);
  thread.copies.push_back({static_cast<uint8_t*>(shared), use ? from : nullptr, thread.open_group});
  std::memset(shared, kPoison, 16);
}

void CommitCopies() { ++Current().open_group; }

void WaitCopies(int pending_groups) {
  Thread& thread = Current();
  const int end = thread.open_group - pending_groups;
  while (!thread.copies.empty() && thread.copies.front().group < end) {
    const AsyncCopy& copy = thread.copies.front();
    if (copy.global != nullptr) {
      std::memcpy(copy.shared, copy.global, 16);
    } else {
      std::memset(copy.shared, 0, 16);
    }
    thread.copies.pop_front();
  }
}

void BeginProduct(float* sums, int count) {
  Thread& thread = Current();
  for (ProductSums& product : thread.products) {
    if (product.sums != sums) continue;
    if (product.group != thread.open_product_group) {
      std::copy(product.values.begin(), product.values.end(), sums);
      product.group = thread.open_product_group;
    }
    return;
  }
  thread.products.push_back(
      {sums, std::vector<float>(static_cast<size_t>(count)), thread.open_product_group});
}

void KeepOperand(const void* shared, Place place) {
  CheckShared(shared, 16, place);
  Thread& thread = Current();
  ProductOperand operand = {
      static_cast<const uint8_t*>(shared), {}, place, thread.open_product_group};
  std::memcpy(operand.bytes.data(), shared, operand.bytes.size());
  thread.product_operands.push_back(operand);
}

void CommitProducts() {
  Thread& thread = Current();
  for (ProductSums& product : thread.products) {
    if (product.group != thread.open_product_group) continue;
    std::copy_n(product.sums, product.values.size(), product.values.begin());
    std::memset(product.sums, kPoison, product.values.size() * sizeof(float));
  }
  ++thread.open_product_group;
}

void WaitProducts(int pending_groups) {
  Thread& thread = Current();
  const int end = thread.open_product_group - pending_groups;
  for (const ProductOperand& operand : thread.product_operands) {
    if (operand.group >= end) continue;
    if (std::memcmp(operand.shared, operand.bytes.data(), operand.bytes.size()) != 0) {
      Fail("shared memory changed under a product that reads it", operand.place);
    }
  }
  std::erase_if(thread.product_operands,
                [end](const ProductOperand& operand) { return operand.group < end; });
  for (const ProductSums& product : thread.products) {
    if (product.group < end) std::copy(product.values.begin(), product.values.end(), product.sums);
  }
  std::erase_if(thread.products, [end](const ProductSums& product) { return product.group < end; });
}

void CheckShared(const void* pointer, size_t bytes, Place place) {
  if (reinterpret_cast<uintptr_t>(pointer) % bytes != 0) {
    Fail("misaligned access to shared memory", place);
  }
  if (!TheMachine().shared.Contains(static_cast<const uint8_t*>(pointer), bytes)) {
    Fail("an address outside of the block's shared memory", place);
  }
}

void WaitForPrevious() { Current().may_access = true; }

namespace {

enum class Access { kLoad, kStore, kConstant };

void CheckAccessOf(const void* pointer, size_t bytes, Access access) {
  const auto* at = static_cast<const uint8_t*>(pointer);
  Machine& machine = TheMachine();
  // Constants and static shared memory.
  if (at >= machine.image.begin && at < machine.image.end) return;
  if (machine.shared.Contains(at, bytes)) return;
  if (at >= machine.arguments.begin && at + bytes <= machine.arguments.end) return;
  const bool may_access = Current().may_access;
  if (!may_access && access != Access::kConstant) {
    Fail("a chained kernel accesses memory before WaitForPrevious", Place::current());
  }
  if (!may_access && machine.chain_writes.Has(machine.chain, at, bytes)) {
    Fail("a chained kernel reads before WaitForPrevious what one in front of it has written",
         Place::current());
  }
  if (access == Access::kStore) machine.chain_writes.Note(machine.chain, at, bytes);
  for (const Range& range : machine.ranges) {
    if (at >= range.begin && at + bytes <= range.end) return;
  }
  const Placement placement = Find(pointer, bytes);
  if (placement.kind == MemoryKind::kPageable || !placement.whole) {
    std::fprintf(stderr,
                 "CUDA emulation: access to %zu bytes at %p, which are no memory of the %s\n",
                 bytes, pointer, machine.shared.IsNear(at) ? "block" : "device");
    PrintContext(stderr);
    std::abort();
  }
  machine.ranges[machine.next_range++ % std::size(machine.ranges)] = {placement.begin,
                                                                      placement.end};
}

}  // namespace

void CheckAccessBeyondStacks(const void* pointer, size_t bytes) {
  if (!Fiber::IsOnStack(__builtin_frame_address(0))) return;
  CheckAccessOf(pointer, bytes, Access::kLoad);
}

void CheckStoreBeyondStacks(const void* pointer, size_t bytes) {
  if (!Fiber::IsOnStack(__builtin_frame_address(0))) return;
  CheckAccessOf(pointer, bytes, Access::kStore);
}

void CheckConstantAccess(const void* pointer, size_t bytes) {
  CheckAccessOf(pointer, bytes, Access::kConstant);
}

void Fail(const char* problem, Place place) {
  std::fprintf(stderr, "CUDA emulation: %s\n  at ", problem);
  PrintPlace(place);
  PrintContext(stderr);
  std::abort();
}

}  // namespace sluice::cuda_emulation
