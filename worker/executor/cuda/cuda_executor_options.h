// SPDX-License-Identifier: Apache-2.0
// What a rank on a GPU is asked for. Without CUDA's headers: the worker fills it, the plugin reads
// it.
#pragma once

#include <cstdint>
#include <functional>

namespace sluice::worker {

struct CudaExecutorOptions {
  int device_index = 0;  // among those that CUDA_VISIBLE_DEVICES leaves

  // KV pages, the scratch page included. 0: as many as fit under gpu_memory_utilization, or in
  // kv_cache_bytes where that is given. What became of it is Executor::num_pages().
  int num_pages = 0;
  double gpu_memory_utilization = 0.90;  // of the device's memory, weights and workspace included
  int64_t kv_cache_bytes = 0;            // 0: what is left

  int max_rows = 0;            // RowIds are below this
  int max_batched_tokens = 0;  // most tokens in one step
  int max_model_len = 0;       // most tokens of a row
  // Most tokens in one step after which one is sampled: max_rows, and the drafts of rows that
  // speculate. 0: max_rows.
  int max_logits = 0;
  // Ids the tokenizer knows: rows of the embedding beyond them are padding and never sampled. 0:
  // vocab_size.
  int num_token_ids = 0;
  bool processed_logprobs = false;  // of what was drawn from; else of the raw logits

  // While weights load, with rising done_bytes; the last call has both equal. One call at a time,
  // on threads of the loader.
  std::function<void(int64_t done_bytes, int64_t total_bytes)> on_progress = {};
};

}  // namespace sluice::worker
