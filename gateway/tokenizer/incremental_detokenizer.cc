// SPDX-License-Identifier: Apache-2.0
#include "gateway/tokenizer/incremental_detokenizer.h"

#include "gateway/tokenizer/utf8.h"

namespace sluice::gateway {

std::string IncrementalDetokenizer::Append(TokenId id) {
  if (skip_special_tokens_ && tokenizer_.IsSpecial(id)) return std::string();
  pending_ += tokenizer_.TokenBytes(id).value_or(std::string_view());
  std::string text;
  pending_.erase(0, AppendLossyUtf8(pending_, text));
  return text;
}

std::string IncrementalDetokenizer::Flush() {
  std::string text;
  if (!pending_.empty()) AppendUtf8(U'\uFFFD', text);
  pending_.clear();
  return text;
}

}  // namespace sluice::gateway
