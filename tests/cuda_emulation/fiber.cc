// SPDX-License-Identifier: Apache-2.0
#include "tests/cuda_emulation/fiber.h"

#include <sys/mman.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

// Saves what the System V ABI wants kept, the stack pointer into *save, and takes the other stack.
extern "C" void SluiceSwitchStack(void** save, void* load);
// The first return address of a fiber: entry in r12, its argument in r13.
extern "C" void SluiceEnterFiber();
asm(R"(
.text
.globl SluiceSwitchStack
.type SluiceSwitchStack, @function
SluiceSwitchStack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size SluiceSwitchStack, . - SluiceSwitchStack
.globl SluiceEnterFiber
.type SluiceEnterFiber, @function
SluiceEnterFiber:
  movq %r13, %rdi
  callq *%r12
  ud2
.size SluiceEnterFiber, . - SluiceEnterFiber
)");

namespace sluice::cuda_emulation {
namespace {

std::vector<char*>& FreeStacks() {
  static auto* stacks = new std::vector<char*>;
  return *stacks;
}

char* MapStacks(size_t bytes_of_one) {
  void* memory = mmap(nullptr, Fiber::kMaxFibers * bytes_of_one, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) {
    std::perror("the fibers' stacks");
    std::abort();
  }
  auto* stacks = static_cast<char*>(memory);
  for (size_t i = 0; i < Fiber::kMaxFibers; ++i) FreeStacks().push_back(stacks + i * bytes_of_one);
  return stacks;
}

char* TakeStack() {
  if (FreeStacks().empty()) {
    std::fprintf(stderr, "too many fibers\n");
    std::abort();
  }
  char* stack = FreeStacks().back();
  FreeStacks().pop_back();
  return stack;
}

}  // namespace

char* const Fiber::stacks_ = MapStacks(kGuardBytes + kStackBytes);

Fiber::Fiber() : memory_(TakeStack()) { mprotect(memory_, kGuardBytes, PROT_NONE); }

Fiber::~Fiber() { FreeStacks().push_back(memory_); }

void Fiber::Start(void (*entry)(void*), void* argument) {
  auto** top = reinterpret_cast<void**>(memory_ + kGuardBytes + kStackBytes);
  // As SluiceSwitchStack leaves a stack; at the entry it is aligned to 16 before the call.
  void* frame[] = {nullptr,  // r15
                   nullptr,  // r14
                   argument,
                   reinterpret_cast<void*>(entry),
                   nullptr,  // rbx
                   nullptr,  // rbp
                   reinterpret_cast<void*>(&SluiceEnterFiber),
                   nullptr,
                   nullptr};
  own_stack_ = top - sizeof(frame) / sizeof(void*);
  std::memcpy(own_stack_, frame, sizeof(frame));
}

void Fiber::Resume() { SluiceSwitchStack(&caller_stack_, own_stack_); }

void Fiber::Suspend() { SluiceSwitchStack(&own_stack_, caller_stack_); }

}  // namespace sluice::cuda_emulation
