// SPDX-License-Identifier: Apache-2.0
// Widens a packed weight to bf16 for a dense matrix product: for many rows, where arithmetic and
// not reading weights takes the time.
#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime_api.h>

#include "kernels/awq/packed_awq.h"
#include "kernels/host/launch_result.h"

namespace sluice::kernels::awq {

// out [outputs][inputs] bf16: bf16((q - zero) * scale), the product rounded once.
LaunchResult Dequantize(const PackedAwq& weight, __nv_bfloat16* out, cudaStream_t stream);

}  // namespace sluice::kernels::awq
