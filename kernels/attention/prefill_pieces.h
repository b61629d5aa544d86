// SPDX-License-Identifier: Apache-2.0
// Contexts of prefill attention in pieces: how many, and what makes one result of theirs. Internal
// to RunPrefillAttention, which enqueues both kernels.
#pragma once

#include <cuda_runtime_api.h>

#include "kernels/attention/prefill_attention.h"

namespace sluice::kernels::attention {

// 1 .. 32, from what the host knows of the step (PrefillAttention's counts alone), so the same step
// is always cut in the same way.
int ChoosePrefillPieces(const PrefillAttention& attention);

// From the workspace to out: rows of items whose contexts were cut into at most this many pieces.
// REQUIRES: pieces > 1.
LaunchResult CombinePrefillPieces(const PrefillAttention& attention, int pieces,
                                  cudaStream_t stream);

}  // namespace sluice::kernels::attention
