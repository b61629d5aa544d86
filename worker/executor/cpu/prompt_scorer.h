// SPDX-License-Identifier: Apache-2.0
// PromptScorer: log probabilities of the ids of prompts, as prompt_logprobs and echo want them.
// Every prompt token's logits are needed, so they are computed a few tokens at a time: memory does
// not grow with the chunk. All ranks take part, since logits are gathered; rank 0 alone has them,
// and the ids that follow. Used by the step thread.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "kernels/cpu/thread_pool.h"
#include "worker/executor/executor.h"
#include "worker/executor/row_table.h"
#include "worker/model/qwen3_model.h"

namespace sluice::worker {

class PromptScorer {
 public:
  // num_token_ids: ids from here on are padding and never among the most likely. pool must outlive
  // the scorer. leader: this is rank 0.
  PromptScorer(int vocab_size, int num_token_ids, bool leader, kernels::cpu::ThreadPool* pool);

  // REQUIRES: model has just run batch, and table applied its plan. On rank 0 out gets one entry a
  // run of scored tokens; elsewhere nothing. An error is final.
  absl::Status Score(const StepBatch& batch, const RowTable& table, Qwen3Model* model,
                     std::vector<PromptLogprobs>* out);

 private:
  // A token whose logits say how likely the prompt's next id was.
  struct Target {
    TokenId next = 0;
    int top_k = 0;
    PromptLogprobs* run = nullptr;
    size_t index = 0;  // in the run
  };

  absl::Status CollectTargets(const StepBatch& batch, const RowTable& table,
                              std::vector<PromptLogprobs>* out);
  void ScoreBlock(size_t first, size_t count);

  const int vocab_size_;
  const int num_token_ids_;
  const bool leader_;
  kernels::cpu::ThreadPool& pool_;
  std::vector<int32_t> tokens_;        // of the step; every rank's
  std::vector<Target> targets_;        // beside tokens_; rank 0's
  std::vector<float> logits_;          // rank 0: [tokens of a block][vocab_size]
  std::vector<TokenLogprobs> scored_;  // of a block
  std::vector<char> bad_;              // of a block
};

}  // namespace sluice::worker
