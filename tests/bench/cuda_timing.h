// SPDX-License-Identifier: Apache-2.0
// What the benches of GPU kernels share: device memory of random data, times within a CUDA graph,
// what this GPU reaches at best, and the JSON report.
#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "kernels/dense/dense_linear.h"
#include "kernels/host/launch_result.h"

namespace sluice::kernels {

inline void Check(cudaError_t error) {
  if (error == cudaSuccess) return;
  std::fprintf(stderr, "cuda_kernel_bench: %s\n", cudaGetErrorString(error));
  std::exit(1);
}

inline void Check(const LaunchResult& result) {
  if (result.ok()) return;
  std::fprintf(stderr, "cuda_kernel_bench: %s: %s\n", result.problem,
               cudaGetErrorString(result.error));
  std::exit(1);
}

// Device memory of random bits; for bf16, of small finite values.
template <typename T>
class Memory {
 public:
  explicit Memory(size_t size) : size_(size) {
    Check(cudaMalloc(reinterpret_cast<void**>(&data_), size * sizeof(T)));
    Check(cudaMemset(data_, 0, size * sizeof(T)));
  }
  ~Memory() { cudaFree(data_); }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  T* get() const { return data_; }

  void FillRandomBits(std::mt19937& rng) {
    std::vector<uint32_t> block(1 << 20);
    for (uint32_t& word : block) word = rng();
    CopyRepeated(block.data(), block.size() * 4);
  }
  void FillNormal(std::mt19937& rng) {
    std::normal_distribution<float> normal;
    std::vector<__nv_bfloat16> block(1 << 20);
    for (__nv_bfloat16& value : block) value = __float2bfloat16(normal(rng));
    CopyRepeated(block.data(), block.size() * 2);
  }
  void Fill(const std::vector<T>& values) {
    Check(cudaMemcpy(data_, values.data(), values.size() * sizeof(T), cudaMemcpyHostToDevice));
  }

 private:
  void CopyRepeated(const void* block, size_t block_bytes) {
    auto* to = reinterpret_cast<char*>(data_);
    for (size_t done = 0, all = size_ * sizeof(T); done < all; done += block_bytes) {
      Check(
          cudaMemcpy(to + done, block, std::min(block_bytes, all - done), cudaMemcpyHostToDevice));
    }
  }

  const size_t size_;
  T* data_ = nullptr;
};

// Median microseconds of one of `launches` launches, captured in one graph.
inline double GraphMicroseconds(int launches,
                                const std::function<void(int, cudaStream_t)>& launch) {
  cudaStream_t stream;
  cudaGraph_t graph;
  cudaGraphExec_t executable;
  Check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  launch(0, stream);  // sets attributes outside of the capture
  Check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
  for (int i = 0; i < launches; ++i) launch(i, stream);
  Check(cudaStreamEndCapture(stream, &graph));
  Check(cudaGraphInstantiate(&executable, graph, 0));
  cudaEvent_t begin, end;
  Check(cudaEventCreate(&begin));
  Check(cudaEventCreate(&end));
  std::vector<double> times;
  for (int i = 0; i < 23; ++i) {
    Check(cudaEventRecord(begin, stream));
    Check(cudaGraphLaunch(executable, stream));
    Check(cudaEventRecord(end, stream));
    Check(cudaEventSynchronize(end));
    float milliseconds = 0.0f;
    Check(cudaEventElapsedTime(&milliseconds, begin, end));
    if (i >= 3) times.push_back(1000.0 * milliseconds / launches);
  }
  Check(cudaGraphExecDestroy(executable));
  Check(cudaGraphDestroy(graph));
  Check(cudaEventDestroy(begin));
  Check(cudaEventDestroy(end));
  Check(cudaStreamDestroy(stream));
  std::nth_element(times.begin(), times.begin() + 10, times.end());
  return times[10];
}

struct Gpu {
  std::string name;
  int num_sms = 0;
  double copy_bytes_per_us = 0.0;  // read and written, of a large copy
  double flops_per_us = 0.0;       // of a dense product of 8192 cubed; 0: no cuBLASLt
};

// dense may be null.
inline Gpu MeasureGpu(dense::DenseLinear* dense) {
  cudaDeviceProp properties;
  Check(cudaGetDeviceProperties(&properties, 0));
  Gpu gpu = {properties.name, properties.multiProcessorCount};
  {
    constexpr size_t kBytes = size_t{1} << 31;
    const Memory<char> from(kBytes), to(kBytes);
    const double us = GraphMicroseconds(4, [&](int, cudaStream_t stream) {
      Check(cudaMemcpyAsync(to.get(), from.get(), kBytes, cudaMemcpyDeviceToDevice, stream));
    });
    gpu.copy_bytes_per_us = 2.0 * static_cast<double>(kBytes) / us;
  }
  if (dense == nullptr) return gpu;
  constexpr int kSize = 8192;
  std::mt19937 rng(1);
  Memory<__nv_bfloat16> x(size_t{kSize} * kSize), weight(size_t{kSize} * kSize);
  const Memory<__nv_bfloat16> out(size_t{kSize} * kSize);
  x.FillNormal(rng);
  weight.FillNormal(rng);
  const double us = GraphMicroseconds(4, [&](int, cudaStream_t stream) {
    Check(dense->Run({{kSize, kSize, kSize}, x.get(), weight.get(), out.get()}, stream));
  });
  gpu.flops_per_us = 2.0 * kSize * kSize * static_cast<double>(kSize) / us;
  return gpu;
}

// One JSON object on stdout: what the GPU reaches, then the cases.
class Report {
 public:
  explicit Report(Gpu gpu) : gpu_(std::move(gpu)) {
    std::printf(
        "{\"gpu\": \"%s\", \"sms\": %d, \"copy_gb_per_s\": %.0f, \"dense_tflop_per_s\": %.0f, "
        "\"cases\": [",
        gpu_.name.c_str(), gpu_.num_sms, gpu_.copy_bytes_per_us / 1000.0, gpu_.flops_per_us / 1e6);
  }
  ~Report() { std::printf("\n]}\n"); }
  Report(const Report&) = delete;
  Report& operator=(const Report&) = delete;

  // bytes that have to be moved, and floating-point operations; either may be 0. of_limit: the time
  // that the slower of the two would take at the GPU's best, by the time taken.
  void Case(const std::string& name, double us, double bytes, double flops = 0.0) {
    double limit_us = bytes / gpu_.copy_bytes_per_us;
    if (gpu_.flops_per_us > 0.0) limit_us = std::max(limit_us, flops / gpu_.flops_per_us);
    std::printf(
        "%s\n  {\"case\": \"%s\", \"us\": %.2f, \"mb\": %.2f, \"gb_per_s\": %.0f, "
        "\"tflop_per_s\": %.1f, \"of_limit\": %.3f}",
        separator_, name.c_str(), us, bytes / 1e6, bytes / us / 1000.0, flops / us / 1e6,
        limit_us / us);
    separator_ = ",";
    std::fflush(stdout);
  }

 private:
  const Gpu gpu_;
  const char* separator_ = "";
};

}  // namespace sluice::kernels
