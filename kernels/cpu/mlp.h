// SPDX-License-Identifier: Apache-2.0
// The gate of Qwen3's MLP: out = silu(gate) * up, silu(x) = x / (1 + exp(-x)). Elementwise.
#pragma once

#include <cstdint>

#include "kernels/cpu/thread_pool.h"

namespace sluice::kernels::cpu {

// gate_up [num_rows][2 * width] f32: a row's gate, then its up (the order in which a loader fuses
// them). out [num_rows][width] f32, must not overlap.
void SiluMul(const float* gate_up, int64_t num_rows, int64_t width, float* out, ThreadPool& pool);

}  // namespace sluice::kernels::cpu
