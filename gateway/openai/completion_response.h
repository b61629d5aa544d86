// SPDX-License-Identifier: Apache-2.0
// ChoiceDeltas to the JSON of /v1/completions: chunk by chunk, or joined to one body. No I/O. One
// object per answer; not thread safe.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "gateway/openai/delta.h"
#include "gateway/openai/generation_options.h"
#include "gateway/openai/response_header.h"

namespace sluice::gateway {

class CompletionStreamWriter {
 public:
  CompletionStreamWriter(ResponseHeader header, const StreamOptions& options, bool logprobs,
                         int prompt_tokens);

  // The payload to send; none for a delta that shows nothing.
  std::optional<std::string> OnDelta(const ChoiceDelta& delta);
  std::optional<std::string> OnEnd(const ResponseUsage& usage) const;

 private:
  const ResponseHeader header_;
  const StreamOptions options_;
  const bool logprobs_;
  const int prompt_tokens_;
  std::map<int, int64_t> text_offset_;  // by choice: characters that logprobs entries have covered
};

class CompletionAggregator {
 public:
  CompletionAggregator(ResponseHeader header, bool logprobs);

  void OnDelta(const ChoiceDelta& delta);
  // The whole body. REQUIRES: every choice has ended.
  std::string Finish(const ResponseUsage& usage) const;

 private:
  const ResponseHeader header_;
  const bool logprobs_;
  std::map<int, ChoiceDelta> choices_;
};

}  // namespace sluice::gateway
