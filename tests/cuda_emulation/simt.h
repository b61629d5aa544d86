// SPDX-License-Identifier: Apache-2.0
// CUDA's SIMT model on one CPU thread. Blocks of a grid run one after the other; the threads of a
// block are fibers, which give way at barriers and warp operations only. (A block whose threads
// all wait for memory to change is set aside while others, of this grid and then of other streams'
// grids, get their turns.) Blocks, warps, and lanes
// within a warp take their turns in an order drawn from SetSchedulingSeed, so that what is right
// only in one order does not stay right for long.
//
// Mistakes end the process with the kernel, block, thread and line: a barrier or warp operation
// that a thread misses, lanes that meet at different operations, accesses that are misaligned or of
// memory that a GPU does not see. Shared memory is NaN (0xff) before each block.
//
// Kernels use this through tests/cuda_emulation/include and kernels/device. Only one grid runs at a
// time, whichever threads ask; one that waits for memory lets the next one in.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <source_location>

#include "tests/cuda_emulation/fiber.h"
#include "tests/cuda_emulation/include/vector_types.h"

namespace sluice::cuda_emulation {

inline constexpr int kWarpLanes = 32;
inline constexpr uint32_t kAllLanes = 0xffffffffu;
inline constexpr int kMaxBlockThreads = 1024;
inline constexpr size_t kMaxSharedBytes = 227 * 1024;  // of one block on sm_90
inline constexpr size_t kDefaultSharedBytes = 48 * 1024;

using Place = std::source_location;

struct GridConfig {
  const void* kernel = nullptr;  // the function, for messages
  dim3 grid, block;
  size_t shared_bytes = 0;
  const void* arguments = nullptr;  // the kernel's own copies, which it may read
  size_t argument_bytes = 0;
  // Every thread has to call WaitForPrevious, and before that may not access memory but by
  // CopyAsync16, bulk copies and __ldg, and by those not what a kernel in front has written.
  bool chained = false;
};

// The calling thread, which does a stream's work, comes to the next piece of it. after_idle: by the
// time it was enqueued everything before it had ended.
void BeginWork(bool after_idle);

// Runs body once for every thread. REQUIRES: the sizes are what a GPU would launch.
void RunGrid(const GridConfig& config, const std::function<void()>& body);

// Of the grids that start from now on. Starts as 1, or as SLUICE_EMULATION_SEED says.
void SetSchedulingSeed(uint64_t seed);

// ---- Of the thread that runs. REQUIRES: called from within body.

int Lane();
uint8_t* DynamicShared();

// Until every thread of the block that has not ended is here.
void BlockBarrier(Place place);

// In a loop that waits for another grid, or the host, to change memory: lets the others go on.
void WaitTurn();

// A warp operation: waits for the lanes of mask that have not ended; the last to come does the
// work for all of them. operands[i]: what lane i brought, null if it takes no part.
using WarpWork = void (*)(void* const (&operands)[kWarpLanes]);
void WarpOperation(uint32_t mask, WarpWork work, void* operand, Place place);
// The same for operations that have no mask because all lanes must take part.
void WholeWarpOperation(WarpWork work, void* operand, Place place);

// Until holds(what) is true: asked each time the thread's turn would come.
using Condition = bool (*)(void* what);
void WaitUntil(Condition holds, void* what, Place place);

// cp.async of 16 bytes, as late as allowed: the bytes arrive at the wait, and until then their
// place in shared memory is NaN. global is not read when `use` is false, and zeros arrive.
void CopyAsync16(void* shared, const void* global, bool use, Place place);
void CommitCopies();
void WaitCopies(int pending_groups);

// wgmma's groups, of this thread's sums. A product is computed when it is issued; from the commit
// to the wait for its group the sums are NaN, unless a further product goes on with them. What a
// product read of shared memory must be the same at the wait: KeepOperand, 16 bytes at a time.
void BeginProduct(float* sums, int count);
void KeepOperand(const void* shared, Place place);
void CommitProducts();
void WaitProducts(int pending_groups);

// What a chained grid must not go on without.
void WaitForPrevious();

// REQUIRES to hold, or ends the process: [pointer, pointer + bytes) is aligned to `bytes` and lies
// in the block's shared memory.
void CheckShared(const void* pointer, size_t bytes, Place place);

// Of a plain access by a kernel: in the device's or pinned memory, in the block's shared memory or
// on a thread's stack, or the process ends. Does nothing when the caller is not a kernel.
void CheckAccessBeyondStacks(const void* pointer, size_t bytes);
void CheckStoreBeyondStacks(const void* pointer, size_t bytes);
// Of one by __ldg or an asynchronous copy.
void CheckConstantAccess(const void* pointer, size_t bytes);
inline void CheckAccess(const void* pointer, size_t bytes) {
  if (!Fiber::IsOnStack(pointer)) CheckAccessBeyondStacks(pointer, bytes);
}
inline void CheckStore(const void* pointer, size_t bytes) {
  if (!Fiber::IsOnStack(pointer)) CheckStoreBeyondStacks(pointer, bytes);
}

[[noreturn]] void Fail(const char* problem, Place place);

}  // namespace sluice::cuda_emulation
