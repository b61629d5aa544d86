// SPDX-License-Identifier: Apache-2.0
// The emulated runtime: memory, streams, events and graphs, and the mistakes that it must find.
#include <cuda_runtime.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstring>
#include <vector>

#include "kernels/device/launch.cuh"
#include "tests/cuda_emulation/settings.h"

namespace sluice::cuda_emulation {
namespace {

void AddKernel(int* to, int value) { *to += value; }

cudaError_t Add(int* to, int value, cudaStream_t stream) {
  return kernels::device::Launch(AddKernel, 1, 1, 0, stream, to, value);
}

int* NewInt(int value) {
  int* pointer = nullptr;
  EXPECT_EQ(cudaMalloc(&pointer, sizeof(int)), cudaSuccess);
  EXPECT_EQ(cudaMemcpy(pointer, &value, sizeof(int), cudaMemcpyHostToDevice), cudaSuccess);
  return pointer;
}

int Read(const int* device) {
  int value = 0;
  EXPECT_EQ(cudaMemcpy(&value, device, sizeof(int), cudaMemcpyDeviceToHost), cudaSuccess);
  return value;
}

class CudaRuntime : public ::testing::Test {
 protected:
  void SetUp() override {
    // Late enough that nothing runs unless it is waited for.
    TheSettings().lateness = std::chrono::hours(1);
    ASSERT_EQ(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), cudaSuccess);
    ASSERT_EQ(cudaStreamCreateWithFlags(&other_, cudaStreamNonBlocking), cudaSuccess);
  }
  void TearDown() override {
    EXPECT_EQ(cudaStreamDestroy(stream_), cudaSuccess);
    EXPECT_EQ(cudaStreamDestroy(other_), cudaSuccess);
    TheSettings() = {};
  }

  cudaStream_t stream_ = nullptr, other_ = nullptr;
};

TEST_F(CudaRuntime, ReplaysGraphsWithTheArgumentsOfTheirCapture) {
  int* sum = NewInt(1);
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t exec = nullptr;
  ASSERT_EQ(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal), cudaSuccess);
  int value = 10;
  EXPECT_EQ(Add(sum, value, stream_), cudaSuccess);
  value = 100;
  EXPECT_EQ(cudaStreamEndCapture(stream_, &graph), cudaSuccess);
  ASSERT_EQ(cudaGraphInstantiate(&exec, graph, 0), cudaSuccess);
  EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
  EXPECT_EQ(Read(sum), 1) << "ran while it was captured";
  for (int i = 0; i < 3; ++i) EXPECT_EQ(cudaGraphLaunch(exec, stream_), cudaSuccess);
  EXPECT_EQ(cudaStreamSynchronize(stream_), cudaSuccess);
  EXPECT_EQ(Read(sum), 31);
  EXPECT_EQ(cudaGraphExecDestroy(exec), cudaSuccess);
  EXPECT_EQ(cudaFree(sum), cudaSuccess);
}

TEST_F(CudaRuntime, CapturesWhatJoinsThroughAnEvent) {
  int* sum = NewInt(0);
  cudaEvent_t fork = nullptr, join = nullptr;
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t exec = nullptr;
  ASSERT_EQ(cudaEventCreateWithFlags(&fork, cudaEventDisableTiming), cudaSuccess);
  ASSERT_EQ(cudaEventCreateWithFlags(&join, cudaEventDisableTiming), cudaSuccess);
  ASSERT_EQ(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeGlobal), cudaSuccess);
  EXPECT_EQ(cudaEventRecord(fork, stream_), cudaSuccess);
  EXPECT_EQ(cudaStreamWaitEvent(other_, fork), cudaSuccess);
  EXPECT_EQ(Add(sum, 5, other_), cudaSuccess);
  EXPECT_EQ(cudaEventRecord(join, other_), cudaSuccess);
  EXPECT_EQ(cudaStreamWaitEvent(stream_, join), cudaSuccess);
  EXPECT_EQ(cudaStreamEndCapture(stream_, &graph), cudaSuccess);
  ASSERT_EQ(cudaGraphInstantiate(&exec, graph, 0), cudaSuccess);
  EXPECT_EQ(cudaGraphLaunch(exec, stream_), cudaSuccess);
  EXPECT_EQ(cudaStreamSynchronize(stream_), cudaSuccess);
  EXPECT_EQ(Read(sum), 5);
  EXPECT_EQ(Add(sum, 1, other_), cudaSuccess);  // captures no more
  EXPECT_EQ(cudaStreamSynchronize(other_), cudaSuccess);
  EXPECT_EQ(Read(sum), 6);
  cudaGraphExecDestroy(exec);
  cudaGraphDestroy(graph);
  cudaEventDestroy(fork);
  cudaEventDestroy(join);
  cudaFree(sum);
}

TEST_F(CudaRuntime, WaitingSpoilsACapture) {
  cudaGraph_t graph = nullptr;
  ASSERT_EQ(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeGlobal), cudaSuccess);
  EXPECT_EQ(cudaStreamSynchronize(stream_), cudaErrorStreamCaptureUnsupported);
  EXPECT_EQ(cudaStreamEndCapture(stream_, &graph), cudaErrorStreamCaptureInvalidated);
  EXPECT_EQ(graph, nullptr);
  ASSERT_EQ(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeGlobal), cudaSuccess);
  void* memory = nullptr;
  EXPECT_EQ(cudaMalloc(&memory, 16), cudaErrorStreamCaptureUnsupported);
  EXPECT_EQ(cudaStreamEndCapture(stream_, &graph), cudaErrorStreamCaptureInvalidated);
  EXPECT_EQ(cudaGetLastError(), cudaErrorStreamCaptureInvalidated);
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);
}

TEST_F(CudaRuntime, ReadsPinnedMemoryLateAndPageableAtOnce) {
  int *device = NewInt(0), *pinned = nullptr, pageable = 7;
  ASSERT_EQ(cudaMallocHost(&pinned, sizeof(int)), cudaSuccess);
  *pinned = 7;
  EXPECT_EQ(cudaMemcpyAsync(device, pinned, sizeof(int), cudaMemcpyHostToDevice, stream_),
            cudaSuccess);
  *pinned = 8;  // too early
  EXPECT_EQ(cudaStreamSynchronize(stream_), cudaSuccess);
  EXPECT_EQ(Read(device), 8);
  EXPECT_EQ(cudaMemcpyAsync(device, &pageable, sizeof(int), cudaMemcpyHostToDevice, stream_),
            cudaSuccess);
  pageable = 8;
  EXPECT_EQ(cudaStreamSynchronize(stream_), cudaSuccess);
  EXPECT_EQ(Read(device), 7);
  EXPECT_EQ(cudaFreeHost(pinned), cudaSuccess);
  EXPECT_EQ(cudaFree(device), cudaSuccess);
}

TEST_F(CudaRuntime, EventsOrderStreams) {
  int* sum = NewInt(1);
  cudaEvent_t done = nullptr;
  ASSERT_EQ(cudaEventCreate(&done), cudaSuccess);
  EXPECT_EQ(cudaEventQuery(done), cudaSuccess) << "never recorded";
  EXPECT_EQ(Add(sum, 1, stream_), cudaSuccess);
  EXPECT_EQ(cudaEventRecord(done, stream_), cudaSuccess);
  EXPECT_EQ(cudaEventQuery(done), cudaErrorNotReady);
  EXPECT_EQ(cudaStreamWaitEvent(other_, done), cudaSuccess);
  int* copy = NewInt(0);
  EXPECT_EQ(cudaMemcpyAsync(copy, sum, sizeof(int), cudaMemcpyDeviceToDevice, other_), cudaSuccess);
  EXPECT_EQ(cudaStreamSynchronize(other_), cudaSuccess);
  EXPECT_EQ(cudaEventQuery(done), cudaSuccess);
  EXPECT_EQ(Read(copy), 2);
  cudaEventDestroy(done);
  cudaFree(sum);
  cudaFree(copy);
}

// As on a GPU: cudaMemset does not wait, and a stream made with cudaStreamNonBlocking does not wait
// for it.
TEST_F(CudaRuntime, NonBlockingStreamsPassTheDefaultStream) {
  int *sum = NewInt(5), *ordered = NewInt(5);
  cudaStream_t blocking = nullptr;
  ASSERT_EQ(cudaStreamCreate(&blocking), cudaSuccess);
  EXPECT_EQ(cudaMemset(sum, 0, sizeof(int)), cudaSuccess);
  EXPECT_EQ(Add(sum, 1, stream_), cudaSuccess);
  EXPECT_EQ(cudaStreamSynchronize(stream_), cudaSuccess);
  EXPECT_EQ(Read(sum), 0);
  EXPECT_EQ(cudaMemset(ordered, 0, sizeof(int)), cudaSuccess);
  EXPECT_EQ(Add(ordered, 1, blocking), cudaSuccess);
  EXPECT_EQ(Read(ordered), 1);
  EXPECT_EQ(cudaStreamDestroy(blocking), cudaSuccess);
  cudaFree(sum);
  cudaFree(ordered);
}

TEST_F(CudaRuntime, HostFunctionsRunInOrder) {
  int* sum = NewInt(1);
  struct Seen {
    int* sum;
    int value;
  } seen = {sum, 0};
  Add(sum, 1, stream_);
  EXPECT_EQ(cudaLaunchHostFunc(
                stream_,
                [](void* argument) {
                  auto* to = static_cast<Seen*>(argument);
                  to->value = *to->sum;
                },
                &seen),
            cudaSuccess);
  Add(sum, 1, stream_);
  EXPECT_EQ(cudaStreamSynchronize(stream_), cudaSuccess);
  EXPECT_EQ(seen.value, 2);
  cudaFree(sum);
}

TEST_F(CudaRuntime, WorkBeginsInTheEndThoughNobodyWaits) {
  TheSettings().lateness = std::chrono::milliseconds(1);
  int* sum = NewInt(1);
  Add(sum, 1, stream_);
  while (cudaStreamQuery(stream_) == cudaErrorNotReady) std::this_thread::yield();
  EXPECT_EQ(Read(sum), 2);
  cudaFree(sum);
}

TEST_F(CudaRuntime, ChecksCopies) {
  std::vector<int> host(8, 1);
  int* device = nullptr;
  ASSERT_EQ(cudaMalloc(&device, 7 * sizeof(int)), cudaSuccess);
  EXPECT_EQ(cudaMemcpy(device, host.data(), 28, cudaMemcpyHostToDevice), cudaSuccess);
  EXPECT_EQ(cudaMemcpy(device, host.data(), 32, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemcpy(device + 4, host.data(), 16, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemcpy(device, host.data(), 28, cudaMemcpyDeviceToDevice), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemcpy(host.data(), device, 28, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemset(host.data(), 0, 28), cudaErrorInvalidValue);
  // Rows of two from a matrix of three columns.
  EXPECT_EQ(
      cudaMemcpy(device, (std::vector<int>{0, 1, 2, 3, 4, 5}).data(), 24, cudaMemcpyHostToDevice),
      cudaSuccess);
  EXPECT_EQ(cudaMemcpy2DAsync(host.data(), 8, device + 1, 12, 8, 2, cudaMemcpyDeviceToHost),
            cudaSuccess);
  EXPECT_EQ(std::vector<int>(host.begin(), host.begin() + 4), (std::vector<int>{1, 2, 4, 5}));
  EXPECT_EQ(cudaFree(device), cudaSuccess);
  EXPECT_EQ(cudaFree(device), cudaErrorInvalidValue);
}

TEST_F(CudaRuntime, CountsMemory) {
  TheSettings().memory_bytes = 1 << 20;
  size_t free_before = 0, free_after = 0, total = 0;
  ASSERT_EQ(cudaMemGetInfo(&free_before, &total), cudaSuccess);
  EXPECT_EQ(total, size_t{1} << 20);
  void *some = nullptr, *more = nullptr;
  EXPECT_EQ(cudaMalloc(&some, 1000), cudaSuccess);
  ASSERT_EQ(cudaMemGetInfo(&free_after, &total), cudaSuccess);
  EXPECT_EQ(free_before - free_after, 1000u);
  EXPECT_EQ(cudaMalloc(&more, 1 << 20), cudaErrorMemoryAllocation);
  EXPECT_EQ(more, nullptr);
  EXPECT_EQ(cudaFree(some), cudaSuccess);
}

TEST_F(CudaRuntime, RefusesLaunchesThatAGpuWould) {
  const auto launch = [this](dim3 grid, dim3 block, size_t shared_bytes) {
    return kernels::device::Launch(AddKernel, grid, block, shared_bytes, stream_, nullptr, 0);
  };
  EXPECT_EQ(launch(1, 1025, 0), cudaErrorInvalidConfiguration);
  EXPECT_EQ(launch(0, 1, 0), cudaErrorInvalidConfiguration);
  EXPECT_EQ(launch(dim3(1, 65536), 1, 0), cudaErrorInvalidConfiguration);
  EXPECT_EQ(launch(1, 1, 49153), cudaErrorInvalidValue);
  EXPECT_EQ(kernels::device::AllowSharedBytes(AddKernel, 227 * 1024 + 1), cudaErrorInvalidValue);
  EXPECT_EQ(kernels::device::AllowSharedBytes(AddKernel, 100'000), cudaSuccess);
  EXPECT_EQ(kernels::device::AllowSharedBytes(AddKernel, 99'999), cudaErrorInvalidValue);
}

TEST_F(CudaRuntime, FindsWritesAroundAllocations) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        int* device = NewInt(0);
        device[1] = 1;
        cudaFree(device);
      },
      "byte 4 of an allocation of 4 bytes was written");
}

__global__ void ChainedKernel(int* to, const int* constant, bool waits) {
  kernels::device::LetNextStart();
  const int value = __ldg(constant);
  if (!waits) return;
  kernels::device::WaitForPrevious();
  CheckStore(to, sizeof(*to));  // as the compiler does in kernels
  *to += value;
}

TEST_F(CudaRuntime, ChainedKernelsMustWait) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  int *to = NewInt(1), *constant = NewInt(2);
  const auto run = [&](bool waits) {
    EXPECT_EQ(kernels::device::LaunchChained(ChainedKernel, 1, 1, 0, stream_, to, constant, waits),
              cudaSuccess);
    EXPECT_EQ(cudaStreamSynchronize(stream_), cudaSuccess);
  };
  run(true);
  EXPECT_EQ(Read(to), 3);
  EXPECT_DEATH(run(false), "without WaitForPrevious");
  EXPECT_EQ(cudaFree(to), cudaSuccess);
  EXPECT_EQ(cudaFree(constant), cudaSuccess);
}

TEST_F(CudaRuntime, ChainedKernelsReadNothingTooEarly) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  int *first = NewInt(1), *second = NewInt(2), *third = NewInt(3);
  const auto add = [&](int* to, const int* from) {
    EXPECT_EQ(kernels::device::LaunchChained(ChainedKernel, 1, 1, 0, stream_, to, from, true),
              cudaSuccess);
  };
  const auto wait = [&] { EXPECT_EQ(cudaStreamSynchronize(stream_), cudaSuccess); };
  const auto copy = [&] {
    EXPECT_EQ(cudaMemcpyAsync(third, third, sizeof(int), cudaMemcpyDeviceToDevice, stream_),
              cudaSuccess);
  };
  add(second, first);
  wait();  // as a copy in between, it ends the chain
  add(third, second);
  copy();
  add(second, third);
  add(second, first);
  wait();
  EXPECT_EQ(Read(third), 6);
  EXPECT_EQ(Read(second), 10);
  const auto chain = [&] {
    add(second, first);
    add(first, third);
    add(third, second);
    wait();
  };
  EXPECT_DEATH(chain(), "before WaitForPrevious what one in front of it has written");
  EXPECT_EQ(cudaFree(first), cudaSuccess);
  EXPECT_EQ(cudaFree(second), cudaSuccess);
  EXPECT_EQ(cudaFree(third), cudaSuccess);
}

}  // namespace
}  // namespace sluice::cuda_emulation
