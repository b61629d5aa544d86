// SPDX-License-Identifier: Apache-2.0
#include "gateway/session/logprob_entry.h"

#include <algorithm>
#include <string>
#include <string_view>

namespace sluice::gateway {

LogprobEntry MakeLogprobEntry(const Tokenizer& tokenizer, TokenId id,
                              const TokenLogprobs& logprobs) {
  const auto bytes_of = [&](TokenId token) {
    return std::string(tokenizer.TokenBytes(token).value_or(std::string_view()));
  };
  LogprobEntry entry;
  entry.id = id;
  entry.token = bytes_of(id);
  entry.logprob = logprobs.logprob;
  const size_t count = std::min(logprobs.top_ids.size(), logprobs.top_logprobs.size());
  for (size_t i = 0; i < count; ++i) {
    entry.top.push_back(
        {logprobs.top_ids[i], bytes_of(logprobs.top_ids[i]), logprobs.top_logprobs[i]});
  }
  return entry;
}

}  // namespace sluice::gateway
