// SPDX-License-Identifier: Apache-2.0
// PromptEcho: what an answer tells of its own prompt: the text (echo), log probabilities beside it
// (echo with logprobs), and those of every id (prompt_logprobs). It comes before the output, whose
// text, stop strings and counts it leaves alone: an answer with echo is the prompt, and then the
// answer without. Owned by a session, called under its lock; one per prompt.
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "gateway/backend/worker_client.h"
#include "gateway/openai/delta.h"
#include "gateway/session/logprob_ledger.h"
#include "gateway/tokenizer/incremental_detokenizer.h"
#include "gateway/tokenizer/tokenizer.h"

namespace sluice::gateway {

struct PromptEchoOptions {
  bool echo = false;
  std::optional<int> echo_logprobs{};    // beside the echo, with the most likely k
  std::optional<int> prompt_logprobs{};  // ChoiceDelta::prompt_logprobs, with the most likely k

  bool wanted() const { return echo || prompt_logprobs; }
  bool needs_scores() const { return (echo && echo_logprobs) || prompt_logprobs; }
  // Of the worker's request; nothing when no scores are needed.
  std::optional<int> top_k() const;
};

class PromptEcho {
 public:
  // The tokenizer must outlive this. ids is not empty.
  PromptEcho(const Tokenizer& tokenizer, std::vector<TokenId> ids,
             const PromptEchoOptions& options);

  // Takes the scores of the next ids (GenerateResponse.prompt_logprobs) and returns what they let
  // the answer show, for a choice that the caller names. INTERNAL when there are more scores than
  // ids.
  absl::StatusOr<ChoiceDelta> Append(const std::vector<TokenLogprobs>& scores);

  // Everything was shown: the output may follow.
  bool complete() const { return next_ == ids_.size(); }

 private:
  void Show(const TokenLogprobs* score, ChoiceDelta& delta);

  const Tokenizer& tokenizer_;
  const std::vector<TokenId> ids_;
  const PromptEchoOptions options_;
  IncrementalDetokenizer detokenizer_;
  LogprobLedger ledger_;
  size_t text_bytes_ = 0;
  size_t next_ = 0;  // index of the next id to show
};

}  // namespace sluice::gateway
