// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/norm.h"

#include "kernels/cpu/partition.h"
#include "kernels/cpu/simd/kernel_table.h"

namespace sluice::kernels::cpu {

void RmsNorm(const float* x, const float* weight, float eps, int64_t num_rows, int64_t width,
             float* y, ThreadPool& pool) {
  const simd::KernelTable& kernels = simd::Active();
  ForRanges(num_rows, MinRowsPerTask(width), pool, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      kernels.rms_norm(x + row * width, weight, eps, width, y + row * width);
    }
  });
}

void AddRmsNorm(float* residual, const float* delta, const float* weight, float eps,
                int64_t num_rows, int64_t width, float* y, ThreadPool& pool) {
  const simd::KernelTable& kernels = simd::Active();
  ForRanges(num_rows, MinRowsPerTask(width), pool, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      float* x = residual + row * width;
      kernels.add(x, delta + row * width, width);
      kernels.rms_norm(x, weight, eps, width, y + row * width);
    }
  });
}

void AddInPlace(float* residual, const float* delta, int64_t num, ThreadPool& pool) {
  const simd::KernelTable& kernels = simd::Active();
  ForRanges(num, kMinFloatsPerTask, pool, [&](int64_t begin, int64_t end) {
    kernels.add(residual + begin, delta + begin, end - begin);
  });
}

}  // namespace sluice::kernels::cpu
