// SPDX-License-Identifier: Apache-2.0
// The gate of the MLP: out = silu(gate) * up, silu(x) = x / (1 + exp(-x)), in fp32.
#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime_api.h>

#include "kernels/awq/linear_output.h"
#include "kernels/host/launch_result.h"

namespace sluice::kernels::mlp {

// gate_up: [rows][2 * width], a row's gate and up in turns: g0, u0, g1, ...; width is a multiple
// of 4.
// out: [rows][width].
LaunchResult SiluMul(const awq::LinearOutput& gate_up, int width, __nv_bfloat16* out,
                     cudaStream_t stream);

}  // namespace sluice::kernels::mlp
