// SPDX-License-Identifier: Apache-2.0
#include "kernels/awq/linear_output.cuh"
#include "kernels/device/bf16.cuh"
#include "kernels/device/float4.cuh"
#include "kernels/device/launch.cuh"
#include "kernels/device/reduce.cuh"
#include "kernels/norm/add_rms_norm.h"

namespace sluice::kernels::norm {
namespace {

// So that registers hold all pieces that are under way, up to a width of 5,120.
constexpr int kMaxThreads = 640;
constexpr int kFewVectors = 2, kManyVectors = 4;  // of four values, a thread
constexpr int kMaxWidth = 4 * kManyVectors * kMaxThreads;

struct Row {
  float* residual;
  const __nv_bfloat16* weight;
  __nv_bfloat16* out;
  float eps;
  int width;
  bool has_delta;
};

// One block a row, which it holds in registers between its two passes. With one row the time is
// that of a few loads, one after the other: all that can be asked for together is.
template <int kVectors>
__global__ void __launch_bounds__(kMaxThreads, 1)
    AddRmsNormKernel(Row all, awq::LinearOutput delta) {
  __shared__ float scratch[kMaxThreads / device::kWarpSize];
  device::LetNextStart();
  const int row = static_cast<int>(blockIdx.x);
  int column[kVectors];
  bool has[kVectors];
  float4 weight[kVectors];
#pragma unroll
  for (int i = 0; i < kVectors; ++i) {
    column[i] = 4 * (i * static_cast<int>(blockDim.x) + static_cast<int>(threadIdx.x));
    has[i] = column[i] < all.width;
    if (!has[i]) column[i] = 0;
    weight[i] = device::LoadConstant4Bf16(all.weight + column[i]);
  }
  const awq::OutputColumns<kVectors> columns(delta, column);
  device::WaitForPrevious();

  float* residual = all.residual + int64_t{row} * all.width;
  float4 value[kVectors];
#pragma unroll
  for (int i = 0; i < kVectors; ++i) {
    value[i] = *reinterpret_cast<const float4*>(residual + column[i]);
  }
  if (all.has_delta) {
    float4 add[kVectors];
    columns.Load(row, add);
#pragma unroll
    for (int i = 0; i < kVectors; ++i) {
      device::AddTo(value[i], add[i]);
      if (has[i]) *reinterpret_cast<float4*>(residual + column[i]) = value[i];
    }
  }
  float squares = 0.0f;
#pragma unroll
  for (int i = 0; i < kVectors; ++i) {
    if (has[i]) squares += device::SumOfSquares(value[i]);
  }
  const float mean = device::BlockSum(squares, scratch) / static_cast<float>(all.width);
  const float factor = rsqrtf(mean + all.eps);
#pragma unroll
  for (int i = 0; i < kVectors; ++i) {
    if (!has[i]) continue;
    device::Store4Bf16(all.out + int64_t{row} * all.width + column[i],
                       device::Product(weight[i], device::Scaled(value[i], factor)));
  }
}

}  // namespace

LaunchResult RunAddRmsNorm(const AddRmsNorm& norm, cudaStream_t stream) {
  if (norm.width % 4 != 0 || norm.width < 4 || norm.width > kMaxWidth) {
    return InvalidArguments("RMSNorm: the width must be a multiple of 4, at most 10240");
  }
  if (norm.delta != nullptr && norm.delta->outputs != norm.width) {
    return InvalidArguments("RMSNorm: the delta is not as wide as the residual");
  }
  if (norm.rows == 0) return {};
  const bool wide = norm.width > 4 * kFewVectors * kMaxThreads;
  const int warp_columns = 4 * (wide ? kManyVectors : kFewVectors) * device::kWarpSize;
  const auto threads =
      static_cast<unsigned>((norm.width + warp_columns - 1) / warp_columns * device::kWarpSize);
  const Row row = {norm.residual, norm.weight, norm.out,
                   norm.eps,      norm.width,  norm.delta != nullptr};
  return AfterLaunch(
      device::LaunchChained(wide ? AddRmsNormKernel<kManyVectors> : AddRmsNormKernel<kFewVectors>,
                            static_cast<unsigned>(norm.rows), threads, 0, stream, row,
                            norm.delta != nullptr ? *norm.delta : awq::LinearOutput{}),
      "RMSNorm");
}

}  // namespace sluice::kernels::norm
