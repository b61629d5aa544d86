// SPDX-License-Identifier: Apache-2.0
// y = x W^T with bf16 W for 1 to 16 rows of x: lm_head while decoding, and the linears of a
// checkpoint that is not quantized. The time is that of reading W once, so every load is whole
// sectors and many are under way. The order of summation depends on the inputs alone, not on how
// many rows there are.
#pragma once

#include <cuda_runtime_api.h>

#include "kernels/dense/dense_linear.h"
#include "kernels/host/launch_result.h"

namespace sluice::kernels::dense {

inline constexpr int kMaxSmallDenseRows = 16;

// Whether RunSmallDense computes this shape: 1 to 16 rows, inputs a multiple of 64.
bool TakesSmallDense(const DenseShape& shape);

LaunchResult RunSmallDense(const DenseProduct& product, cudaStream_t stream);

}  // namespace sluice::kernels::dense
