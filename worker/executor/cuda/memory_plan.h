// SPDX-License-Identifier: Apache-2.0
// MemoryPlan: how a GPU's memory is shared out, as arithmetic: what is in use already, weights and
// workspace first, KV pages from what is left under --gpu-memory-utilization. Pure; no CUDA.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "worker/model/qwen3_config.h"

namespace sluice::worker {

// Bytes of what a rank allocates beside weights and KV pages, by what makes it larger.
struct WorkspaceSizes {
  int64_t activations = 0;         // --max-batched-tokens
  int64_t logits = 0;              // --max-num-seqs (and a chunk of scored prompt tokens)
  int64_t dequantized_linear = 0;  // the largest linear in bf16
  int64_t matmul = 0;              // cuBLASLt's own
  int64_t attention = 0;           // partial results
  int64_t sampler = 0;             // per-row state: --max-num-seqs
  int64_t graphs = 0;              // what captured graphs and loaded kernels take

  int64_t total() const {
    return activations + logits + dequantized_linear + matmul + attention + sampler + graphs;
  }
};

struct MemoryDemand {
  int64_t total_bytes = 0;  // of the device
  // Before this rank has allocated anything but its context.
  int64_t free_bytes = 0;
  double utilization = 0.90;   // of total_bytes
  int64_t kv_cache_bytes = 0;  // 0: what is left; else exactly so many pages as fit in it
  int64_t weight_bytes = 0;
  WorkspaceSizes workspace;
  int64_t page_bytes = 0;  // KvPageBytes
  int max_model_len = 0;   // one sequence of so many tokens must fit
};

struct MemoryPlan {
  int num_pages = 0;  // the scratch page included
  int64_t kv_bytes = 0;
  int64_t in_use_bytes = 0;  // by the context and by others, before anything was allocated
  int64_t budget_bytes = 0;  // utilization * total_bytes

  // A line an item, in GiB: what `--check` and the log show.
  std::string Describe(const MemoryDemand& demand) const;
};

// RESOURCE_EXHAUSTED with the arithmetic and what to change when not even one sequence of
// max_model_len tokens fits.
absl::StatusOr<MemoryPlan> PlanMemory(const MemoryDemand& demand);

// Keys and values of one page over all layers, of one rank: bf16.
int64_t KvPageBytes(const Qwen3Config& config, int tp_size);

}  // namespace sluice::worker
