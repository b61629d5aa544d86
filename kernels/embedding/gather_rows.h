// SPDX-License-Identifier: Apache-2.0
// Picks rows of a matrix: before lm_head only the tokens that are sampled after matter.
#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime_api.h>

#include <cstdint>

#include "kernels/host/launch_result.h"

namespace sluice::kernels::embedding {

// out[i] = from[rows[i]]. from [any][width], out [num_rows][width], both aligned to 16 bytes; width
// is a multiple of 8; rows is device memory.
LaunchResult GatherRows(const __nv_bfloat16* from, const int32_t* rows, int num_rows, int width,
                        __nv_bfloat16* out, cudaStream_t stream);

}  // namespace sluice::kernels::embedding
