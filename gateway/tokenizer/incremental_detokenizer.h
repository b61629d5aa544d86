// SPDX-License-Identifier: Apache-2.0
// IncrementalDetokenizer: ids of one stream to UTF-8 text, id by id. It holds back only an
// incomplete UTF-8 sequence (at most 3 bytes); an impossible sequence becomes U+FFFD at once, as
// Python's errors="replace" would show it. For any chunking, the joined output and Flush equal
// Tokenizer::Decode of all ids. Not thread safe; one per choice.
#pragma once

#include <string>
#include <string_view>

#include "gateway/tokenizer/tokenizer.h"

namespace sluice::gateway {

class IncrementalDetokenizer {
 public:
  // The tokenizer must outlive this.
  IncrementalDetokenizer(const Tokenizer& tokenizer, bool skip_special_tokens)
      : tokenizer_(tokenizer), skip_special_tokens_(skip_special_tokens) {}

  // The text that the id completes; often one token's, empty in the middle of a character.
  std::string Append(TokenId id);

  // What is still held back, as U+FFFD; empty when the stream ended on a character.
  std::string Flush();

  // Bytes held back now (0 to 3).
  size_t pending_bytes() const { return pending_.size(); }

 private:
  const Tokenizer& tokenizer_;
  const bool skip_special_tokens_;
  std::string pending_;  // an incomplete UTF-8 sequence
};

}  // namespace sluice::gateway
