// SPDX-License-Identifier: Apache-2.0
// Finishes a linear's output as fp32: adds up its partial sums in their order, or widens values
// that are finished already. What a tensor-parallel all-reduce needs; without one the kernel that
// reads the output adds up itself (linear_output.cuh), with the same bits.
#pragma once

#include <cuda_runtime_api.h>

#include "kernels/awq/linear_output.h"
#include "kernels/host/launch_result.h"

namespace sluice::kernels::awq {

// out [output.rows][output.outputs], aligned to 16 bytes; outputs is a multiple of 4. Where
// output.float_values is out itself, only a row scale is applied.
LaunchResult SumPieces(const LinearOutput& output, float* out, cudaStream_t stream);

}  // namespace sluice::kernels::awq
