// SPDX-License-Identifier: Apache-2.0
// The cases of cuda_kernel_bench that are linears of the 14B.
#pragma once

#include <string>
#include <vector>

#include "tests/bench/cuda_timing.h"

namespace sluice::kernels {

struct LinearCases {
  // Each way takes those that it can: small up to 16, medium up to 2,048, dense any.
  std::vector<int> small_rows = {1, 2, 4, 8, 16};
  std::vector<int> medium_rows = {17, 32, 48, 64, 96, 128, 192, 256};
  // Of gate and up, with SiLU: gated by the medium linear, and by a kernel that reads its pieces.
  // Where whole tiles are worth their uneven blocks (PlanGatedLinear) is for these to say.
  std::vector<int> gated_rows = {256, 1024, 2048};
  std::vector<int> dense_rows = {128, 256, 512, 1024, 2048, 8192};
  bool small = true, medium = true, dense = true, lm_head = true;
};

// linear: cuBLASLt for all products; null where it was not found, and then its cases are left out.
void BenchLinears(const LinearCases& cases, const Gpu& gpu, dense::DenseLinear* linear,
                  Report& report);

}  // namespace sluice::kernels
