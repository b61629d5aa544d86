// SPDX-License-Identifier: Apache-2.0
#include "kernels/awq/linear_output.cuh"
#include "kernels/device/bf16.cuh"
#include "kernels/device/launch.cuh"
#include "kernels/device/reduce.cuh"
#include "kernels/norm/add_rms_norm.h"

namespace sluice::kernels::norm {
namespace {

constexpr int kThreads = 512;
constexpr int kMaxWidth = 4 * 4 * kThreads;  // what the registers of a block hold

struct Row {
  float* residual;
  const __nv_bfloat16* weight;
  __nv_bfloat16* out;
  float eps;
  int width;
  bool has_delta;
};

// One block a row, which it holds in registers between its two passes.
__global__ void __launch_bounds__(kThreads) AddRmsNormKernel(Row all, awq::LinearOutput delta) {
  __shared__ float scratch[kThreads / device::kWarpSize];
  const int row = static_cast<int>(blockIdx.x);
  float* residual = all.residual + int64_t{row} * all.width;
  constexpr int kVectors = kMaxWidth / (4 * kThreads);
  float4 value[kVectors];
  float squares = 0.0f;
#pragma unroll
  for (int i = 0; i < kVectors; ++i) {
    const int column = 4 * (i * kThreads + static_cast<int>(threadIdx.x));
    if (column >= all.width) break;
    value[i] = *reinterpret_cast<const float4*>(residual + column);
    if (all.has_delta) {
      const float4 add = awq::Load4(delta, row, column);
      value[i].x += add.x;
      value[i].y += add.y;
      value[i].z += add.z;
      value[i].w += add.w;
      *reinterpret_cast<float4*>(residual + column) = value[i];
    }
    squares += value[i].x * value[i].x + value[i].y * value[i].y + value[i].z * value[i].z +
               value[i].w * value[i].w;
  }
  const float mean = device::BlockSum(squares, scratch) / static_cast<float>(all.width);
  const float factor = rsqrtf(mean + all.eps);
#pragma unroll
  for (int i = 0; i < kVectors; ++i) {
    const int column = 4 * (i * kThreads + static_cast<int>(threadIdx.x));
    if (column >= all.width) break;
    const float4 weight = device::Load4Bf16(all.weight + column);
    device::Store4Bf16(all.out + int64_t{row} * all.width + column,
                       {weight.x * (value[i].x * factor), weight.y * (value[i].y * factor),
                        weight.z * (value[i].z * factor), weight.w * (value[i].w * factor)});
  }
}

}  // namespace

LaunchResult RunAddRmsNorm(const AddRmsNorm& norm, cudaStream_t stream) {
  if (norm.width % 4 != 0 || norm.width < 4 || norm.width > kMaxWidth) {
    return InvalidArguments("RMSNorm: the width must be a multiple of 4, at most 8192");
  }
  if (norm.delta != nullptr && norm.delta->outputs != norm.width) {
    return InvalidArguments("RMSNorm: the delta is not as wide as the residual");
  }
  if (norm.rows == 0) return {};
  const Row row = {norm.residual, norm.weight, norm.out,
                   norm.eps,      norm.width,  norm.delta != nullptr};
  return AfterLaunch(
      device::Launch(AddRmsNormKernel, static_cast<unsigned>(norm.rows), kThreads, 0, stream, row,
                     norm.delta != nullptr ? *norm.delta : awq::LinearOutput{}),
      "RMSNorm");
}

}  // namespace sluice::kernels::norm
