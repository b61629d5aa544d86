// SPDX-License-Identifier: Apache-2.0
#include "kernels/awq/gated.cuh"
#include "kernels/awq/linear_output.cuh"
#include "kernels/device/bf16.cuh"
#include "kernels/device/launch.cuh"
#include "kernels/mlp/silu_mul.h"

namespace sluice::kernels::mlp {
namespace {

// As many as find registers beside a small linear's block, with all pieces under way together, for
// which the bound leaves room.
constexpr int kThreads = 128;

using awq::Gated;

template <bool kScaled>
__global__ void __launch_bounds__(kThreads, 1)
    SiluMulKernel(awq::LinearOutput gate_up, int width, __nv_bfloat16* out) {
  const int column = 4 * (static_cast<int>(blockIdx.x) * kThreads + static_cast<int>(threadIdx.x));
  const int place = 2 * min(column, width - 4);
  const awq::OutputColumns<2, kScaled> columns(gate_up, {place, place + 4});
  device::BeginChained();
  if (column >= width) return;
  for (int row = static_cast<int>(blockIdx.y); row < gate_up.rows;
       row += static_cast<int>(gridDim.y)) {
    float4 in_turns[2];
    columns.Load(row, in_turns);
    const float4 low = in_turns[0], high = in_turns[1];
    device::Store4Bf16(
        out + int64_t{row} * width + column,
        {Gated(low.x, low.y), Gated(low.z, low.w), Gated(high.x, high.y), Gated(high.z, high.w)});
  }
}

}  // namespace

LaunchResult SiluMul(const awq::LinearOutput& gate_up, int width, __nv_bfloat16* out,
                     cudaStream_t stream) {
  if (width % 4 != 0 || gate_up.outputs != 2 * width) {
    return InvalidArguments("SiLU: the input is not two times as wide as the output");
  }
  if (gate_up.rows == 0 || width == 0) return {};
  constexpr int kMaxRows = 65535;  // of a grid
  const dim3 grid(static_cast<unsigned>((width / 4 + kThreads - 1) / kThreads),
                  static_cast<unsigned>(gate_up.rows < kMaxRows ? gate_up.rows : kMaxRows));
  const bool scaled = gate_up.row_scale.squares != nullptr;
  return AfterLaunch(device::LaunchChained(scaled ? SiluMulKernel<true> : SiluMulKernel<false>,
                                           grid, kThreads, 0, stream, gate_up, width, out),
                     "SiLU");
}

}  // namespace sluice::kernels::mlp
