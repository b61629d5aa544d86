// SPDX-License-Identifier: Apache-2.0
// The residual stream and its norm. The stream is fp32; what the linears read is bf16. Same formula
// and fixed order of summation as kernels/cpu/norm.h up to rounding:
// y = weight * x / sqrt(mean(x^2) + eps).
#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime_api.h>

#include "kernels/awq/linear_output.h"
#include "kernels/host/launch_result.h"

namespace sluice::kernels::norm {

struct AddRmsNorm {
  float* residual = nullptr;                 // [rows][width]; delta is added to it
  const awq::LinearOutput* delta = nullptr;  // host pointer, copied at launch; null: nothing to add
  const __nv_bfloat16* weight = nullptr;     // [width]
  float eps = 0.0f;
  int rows = 0;
  int width = 0;                 // a multiple of 4
  __nv_bfloat16* out = nullptr;  // [rows][width]
};

LaunchResult RunAddRmsNorm(const AddRmsNorm& norm, cudaStream_t stream);

}  // namespace sluice::kernels::norm
