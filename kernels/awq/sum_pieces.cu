// SPDX-License-Identifier: Apache-2.0
#include "kernels/awq/linear_output.cuh"
#include "kernels/awq/sum_pieces.h"
#include "kernels/device/launch.cuh"

namespace sluice::kernels::awq {
namespace {

constexpr int kThreads = 256;

__global__ void __launch_bounds__(kThreads) SumPiecesKernel(LinearOutput output, float* out) {
  const int column = 4 * (static_cast<int>(blockIdx.x) * kThreads + static_cast<int>(threadIdx.x));
  const OutputColumns<1> columns(output, {min(column, output.outputs - 4)});
  device::BeginChained();
  if (column >= output.outputs) return;
  for (int row = static_cast<int>(blockIdx.y); row < output.rows;
       row += static_cast<int>(gridDim.y)) {
    float4 sum[1];
    columns.Load(row, sum);
    *reinterpret_cast<float4*>(out + int64_t{row} * output.outputs + column) = sum[0];
  }
}

}  // namespace

LaunchResult SumPieces(const LinearOutput& output, float* out, cudaStream_t stream) {
  if (output.outputs % 4 != 0) {
    return InvalidArguments("sum of pieces: the outputs must be a multiple of 4");
  }
  if (output.rows == 0 || output.outputs == 0) return {};
  if (output.float_values == out && output.row_scale.squares == nullptr) return {};
  constexpr int kMaxRows = 65535;  // of a grid
  const dim3 grid(static_cast<unsigned>((output.outputs / 4 + kThreads - 1) / kThreads),
                  static_cast<unsigned>(output.rows < kMaxRows ? output.rows : kMaxRows));
  return AfterLaunch(device::LaunchChained(SumPiecesKernel, grid, kThreads, 0, stream, output, out),
                     "sum of pieces");
}

}  // namespace sluice::kernels::awq
