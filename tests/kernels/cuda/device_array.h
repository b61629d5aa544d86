// SPDX-License-Identifier: Apache-2.0
// Arrays in device memory for tests, and bf16 on the host. Memory that a kernel has to fill begins
// as NaN, so that what it leaves out is seen.
#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <random>
#include <span>
#include <vector>

#include "kernels/host/launch_result.h"

namespace sluice::kernels {

// Whether a large shape would take minutes: on tests/cuda_emulation's device, and where a sanitizer
// watches a GPU, which says so in the environment (tests/gpu.sh).
#ifdef SLUICE_CUDA_EMULATED
inline const bool kSmallShapes = true;
#else
inline const bool kSmallShapes = std::getenv("SLUICE_SMALL_SHAPES") != nullptr;
#endif

inline void CheckCuda(cudaError_t error) {
  ASSERT_EQ(error, cudaSuccess) << cudaGetErrorString(error);
}

template <typename T>
class DeviceArray {
 public:
  // All bytes 0xff: NaN as float and as bf16.
  explicit DeviceArray(size_t size) : size_(size) {
    CheckCuda(cudaMalloc(reinterpret_cast<void**>(&data_), bytes()));
    CheckCuda(cudaMemset(data_, 0xff, bytes()));
  }
  explicit DeviceArray(std::span<const T> values) : DeviceArray(values.size()) {
    CheckCuda(cudaMemcpy(data_, values.data(), bytes(), cudaMemcpyHostToDevice));
  }
  explicit DeviceArray(const std::vector<T>& values) : DeviceArray(std::span<const T>(values)) {}
  ~DeviceArray() { cudaFree(data_); }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;

  T* get() const { return data_; }
  size_t size() const { return size_; }

  // Waits for the device.
  std::vector<T> ToHost() const {
    std::vector<T> values(size_);
    CheckCuda(cudaMemcpy(values.data(), data_, bytes(), cudaMemcpyDeviceToHost));
    return values;
  }

 private:
  size_t bytes() const { return size_ * sizeof(T); }

  const size_t size_;
  T* data_ = nullptr;
};

// Normal values of the given deviation, rounded to bf16: what both sides of a comparison start
// from.
inline std::vector<__nv_bfloat16> RandomBf16(std::mt19937& rng, size_t size, float deviation) {
  std::normal_distribution<float> normal(0.0f, deviation);
  std::vector<__nv_bfloat16> values(size);
  for (__nv_bfloat16& value : values) value = __float2bfloat16(normal(rng));
  return values;
}

inline std::vector<float> ToFloats(std::span<const __nv_bfloat16> values) {
  std::vector<float> floats(values.size());
  for (size_t i = 0; i < values.size(); ++i) floats[i] = __bfloat162float(values[i]);
  return floats;
}

inline int NumSms() {
  int count = 0;
  CheckCuda(cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, 0));
  return count;
}

// A fixture whose tests are skipped where there is no GPU.
class CudaTest : public ::testing::Test {
 protected:
  void SetUp() override {
    int count = 0;
    if (cudaGetDeviceCount(&count) != cudaSuccess || count == 0) GTEST_SKIP() << "no GPU here";
  }
};

inline void ExpectOk(const LaunchResult& result) {
  ASSERT_TRUE(result.ok()) << result.problem << ": " << cudaGetErrorString(result.error);
  CheckCuda(cudaDeviceSynchronize());
}

}  // namespace sluice::kernels
