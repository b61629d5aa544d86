// SPDX-License-Identifier: Apache-2.0
// Fiber: a function with a stack of its own that runs in turns with whoever resumes it. A switch
// costs a few nanoseconds (x86-64 only), which is what makes emulating tens of thousands of GPU
// threads bearable.
#pragma once

#include <cstddef>

namespace sluice::cuda_emulation {

class Fiber {
 public:
  // Below the stack lies a page that faults.
  static constexpr size_t kStackBytes = 64 * 1024;
  // So many fibers can be at a time.
  static constexpr size_t kMaxFibers = 16 * 1024;

  // Whether an address is on some fiber's stack.
  static bool IsOnStack(const void* address) {
    return static_cast<size_t>(static_cast<const char*>(address) - stacks_) <
           kMaxFibers * (kGuardBytes + kStackBytes);
  }

  Fiber();
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // Lets the next Resume call entry(argument) from its beginning. entry must not return: it ends
  // with a Suspend that is not resumed, so nothing on its stack may need a destructor by then.
  void Start(void (*entry)(void*), void* argument);
  // From outside the fiber: runs it until it suspends.
  void Resume();
  // From inside: back to whoever resumed it.
  void Suspend();

 private:
  static constexpr size_t kGuardBytes = 4096;
  static char* const stacks_;  // of all fibers, in a row

  char* const memory_;            // the guard page and the stack
  void* own_stack_ = nullptr;     // where the fiber goes on
  void* caller_stack_ = nullptr;  // where its caller does
};

}  // namespace sluice::cuda_emulation
