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
  char* const memory_;
  void* own_stack_ = nullptr;     // where the fiber goes on
  void* caller_stack_ = nullptr;  // where its caller does
};

}  // namespace sluice::cuda_emulation
