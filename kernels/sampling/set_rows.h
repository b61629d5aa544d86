// SPDX-License-Identifier: Apache-2.0
// Gives rows of the sampler's state their parameters, masks, bias and history, from a buffer that
// RowUpload packed.
#pragma once

#include <cuda_runtime_api.h>

#include "kernels/host/launch_result.h"
#include "kernels/sampling/sampler_state.h"

namespace sluice::kernels::sampling {

struct SetRows {
  const void* upload = nullptr;  // RowUpload's bytes in device memory, aligned to 8
  int num_rows = 0;              // RowUpload::num_rows(); no row twice
  SamplerState state;
};

// Two kernels. last_ids of the rows are left alone: a row has one once it has sampled.
LaunchResult RunSetRows(const SetRows& set, cudaStream_t stream);

}  // namespace sluice::kernels::sampling
