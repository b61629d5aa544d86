// SPDX-License-Identifier: Apache-2.0
// The cases of cuda_kernel_bench that sample from logits of Qwen3's vocabulary.
#pragma once

#include <vector>

#include "tests/bench/cuda_timing.h"

namespace sluice::kernels {

// Bytes are those of the logits, once. A single row's logits are found in the L2 cache, as they are
// after lm_head has written them; 256 rows' do not fit there.
void BenchSampling(const std::vector<int>& row_counts, const Gpu& gpu, Report& report);

}  // namespace sluice::kernels
