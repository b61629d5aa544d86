// SPDX-License-Identifier: Apache-2.0
// Embedding lookup in a vocabulary shard. Ids of other shards give zeros, so that the sum over
// ranks is exact.
#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime_api.h>

#include <cstdint>

#include "kernels/host/launch_result.h"

namespace sluice::kernels::embedding {

struct EmbeddingGather {
  const __nv_bfloat16* table = nullptr;  // [vocab_rows][width], rows of ids from first_id on
  int first_id = 0;
  int vocab_rows = 0;
  int width = 0;                 // a multiple of 4
  const int32_t* ids = nullptr;  // device, [rows]; a negative one means last_ids[-1 - id]
  // Device: ids that an earlier step sampled, which the host has not seen. May be null when no id
  // is negative.
  const int32_t* last_ids = nullptr;
  int rows = 0;
  float* out = nullptr;  // [rows][width]
};

// Not chained to what is before it: a step's chain of kernels begins here.
LaunchResult RunEmbeddingGather(const EmbeddingGather& gather, cudaStream_t stream);

}  // namespace sluice::kernels::embedding
