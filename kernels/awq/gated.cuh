// SPDX-License-Identifier: Apache-2.0
// The gate of the MLP, in fp32: one definition for the kernel that reads what a linear has left
// (mlp/silu_mul) and for the linear that gates its own outputs (medium_linear), so that both give
// the same bits of the same sums.
#pragma once

#include "kernels/device/alu.cuh"

namespace sluice::kernels::awq {

// silu(gate) * up, silu(x) = x / (1 + exp(-x)). A division that rounds would be some twenty
// instructions and a call, of which a linear has one for each gate of a lane; the reciprocal is one
// unit of fp32's last place off, and what follows is rounded to bf16.
__device__ inline float Gated(float gate, float up) {
  return gate * device::FastReciprocal(1.0f + __expf(-gate)) * up;
}

}  // namespace sluice::kernels::awq
