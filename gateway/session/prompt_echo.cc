// SPDX-License-Identifier: Apache-2.0
#include "gateway/session/prompt_echo.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gateway/session/logprob_entry.h"

namespace sluice::gateway {
namespace {

LogprobEntry WithTop(LogprobEntry entry, int top_k) {
  if (entry.top.size() > static_cast<size_t>(top_k)) entry.top.resize(static_cast<size_t>(top_k));
  return entry;
}

}  // namespace

std::optional<int> PromptEchoOptions::top_k() const {
  if (!needs_scores()) return std::nullopt;
  return std::max(echo ? echo_logprobs.value_or(0) : 0, prompt_logprobs.value_or(0));
}

PromptEcho::PromptEcho(const Tokenizer& tokenizer, std::vector<TokenId> ids,
                       const PromptEchoOptions& options)
    : tokenizer_(tokenizer),
      ids_(std::move(ids)),
      options_(options),
      detokenizer_(tokenizer, /*skip_special_tokens=*/false) {}

absl::StatusOr<ChoiceDelta> PromptEcho::Append(const std::vector<TokenLogprobs>& scores) {
  ChoiceDelta delta;
  // The first id has no score: nothing comes before it.
  if (next_ == 0) Show(nullptr, delta);
  if (options_.needs_scores()) {
    if (scores.size() > ids_.size() - next_) {
      return absl::InternalError(absl::StrCat("the worker scored ", next_ + scores.size(),
                                              " ids of a prompt of ", ids_.size()));
    }
    for (const TokenLogprobs& score : scores) Show(&score, delta);
  } else {
    while (!complete()) Show(nullptr, delta);
  }
  return delta;
}

void PromptEcho::Show(const TokenLogprobs* score, ChoiceDelta& delta) {
  const TokenId id = ids_[next_++];
  LogprobEntry entry =
      MakeLogprobEntry(tokenizer_, id, score != nullptr ? *score : TokenLogprobs());
  if (score == nullptr) entry.logprob.reset();
  if (options_.prompt_logprobs) {
    delta.prompt_logprobs.push_back(WithTop(entry, *options_.prompt_logprobs));
  }
  if (!options_.echo) return;
  std::string text = detokenizer_.Append(id);
  const size_t own_bytes = text.size();
  // What follows the prompt begins with a character of its own.
  const size_t pending = detokenizer_.pending_bytes();
  const std::string tail = complete() ? detokenizer_.Flush() : std::string();
  text_bytes_ += text.size() + tail.size();
  delta.content += text + tail;
  if (!options_.echo_logprobs) return;
  ledger_.Add(WithTop(std::move(entry), *options_.echo_logprobs), /*visible=*/true, own_bytes,
              pending);
  if (!tail.empty()) ledger_.AddFlushed(tail.size());
  if (complete()) {
    ledger_.Close(text_bytes_, delta.logprobs);
  } else {
    ledger_.Release(text_bytes_, delta.logprobs);
  }
}

}  // namespace sluice::gateway
