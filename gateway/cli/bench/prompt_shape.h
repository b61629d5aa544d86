// SPDX-License-Identifier: Apache-2.0
// PromptShape: how a text of a wanted length in tokens is made for a server whose tokenizer is not
// ours. Prompts are random common English words, since those are one token each in most
// vocabularies; how many tokens a word and the chat template really take is measured by asking the
// server. What a prompt came to in the end is still the server's to say (usage). Pure functions but
// for the counter.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "gateway/cli/bench/random_stream.h"

namespace sluice::gateway {

// Tokens of a request whose prompt is `text`, the chat template included.
using TokenCounter = std::function<absl::StatusOr<int64_t>(const std::string& text)>;

struct PromptShape {
  std::vector<std::string> words;
  double tokens_per_word = 1;
  double template_tokens = 0;  // of every prompt, whatever its text
  std::string how = "one token a word is assumed";

  // Words for this many tokens of text, template left out; at least `least`.
  int WordsFor(double tokens, int least) const;
};

// Nothing measured.
PromptShape AssumedPromptShape();

// From two counts, which may be dear: each may be a request that generates.
absl::StatusOr<PromptShape> MeasurePromptShape(const TokenCounter& count);
// Also keeps only words of one token, so that lengths are exact; some hundred counts in the worst
// case. With hardly any such words, all are kept at their mean.
absl::StatusOr<PromptShape> MeasureExactPromptShape(const TokenCounter& count);

std::string RandomWords(const PromptShape& shape, int num_words, RandomStream& random);

}  // namespace sluice::gateway
