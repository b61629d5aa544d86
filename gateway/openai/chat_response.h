// SPDX-License-Identifier: Apache-2.0
// ChoiceDeltas to the JSON of /v1/chat/completions: chunk by chunk, or joined to one body. No I/O:
// the server adds "data: " and "[DONE]". One object per answer; not thread safe.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "gateway/openai/delta.h"
#include "gateway/openai/generation_options.h"
#include "gateway/openai/response_header.h"

namespace sluice::gateway {

class ChatStreamWriter {
 public:
  // `logprobs`: the request asked for them. `prompt_tokens` is for continuous usage.
  ChatStreamWriter(ResponseHeader header, const StreamOptions& options, bool logprobs,
                   int prompt_tokens);

  // Payloads to send, in order: before a choice's first delta comes the one that tells its role.
  std::vector<std::string> OnDelta(const ChoiceDelta& delta);
  // The chunk without choices that carries usage, when the client asked for it.
  std::optional<std::string> OnEnd(const ResponseUsage& usage) const;

 private:
  std::string Chunk(const ChoiceDelta& delta, bool role) const;

  const ResponseHeader header_;
  const StreamOptions options_;
  const bool logprobs_;
  const int prompt_tokens_;
  std::vector<bool> role_sent_;  // by choice
};

class ChatAggregator {
 public:
  ChatAggregator(ResponseHeader header, bool logprobs);

  void OnDelta(const ChoiceDelta& delta);
  // The whole body. REQUIRES: every choice has ended.
  std::string Finish(const ResponseUsage& usage) const;

 private:
  const ResponseHeader header_;
  const bool logprobs_;
  std::map<int, ChoiceDelta> choices_;  // joined deltas
};

}  // namespace sluice::gateway
