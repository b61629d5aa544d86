// SPDX-License-Identifier: Apache-2.0
// JsonParser: the reading half of JsonDocument; private to this folder. One pass over the text with
// an explicit stack of open containers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gateway/openai/json_reader.h"

namespace sluice::gateway {

class JsonParser {
 public:
  // REQUIRES: text is valid UTF-8.
  JsonParser(std::string_view text, const JsonLimits& limits) : text_(text), limits_(limits) {
    document_.text_ = text;
  }

  // Once.
  absl::StatusOr<JsonDocument> Run();

 private:
  enum class Expect { kValue, kValueOrEnd, kKey, kKeyOrEnd, kCommaOrEnd };

  absl::Status Step();
  absl::Status Value();
  absl::Status Open(JsonType type);
  absl::Status Close();
  absl::Status Key();
  absl::Status CommaOrEnd();
  absl::Status String();
  absl::Status Escape();
  absl::Status Number();
  absl::Status Literal(std::string_view word, JsonType type);
  absl::Status CheckUniqueKeys(uint32_t object) const;

  absl::Status Error(std::string_view what) const;
  absl::Status AddNode(JsonType type);
  void ValueDone();
  void SkipSpace();
  bool AtEnd() const { return at_ >= text_.size(); }
  char Peek() const { return AtEnd() ? '\0' : text_[at_]; }
  bool PeekDigit() const { return !AtEnd() && text_[at_] >= '0' && text_[at_] <= '9'; }
  bool InObject() const;
  // Reads the four hex digits after "\u".
  absl::StatusOr<uint32_t> CodeUnit();

  const std::string_view text_;
  const JsonLimits limits_;
  JsonDocument document_;
  std::vector<uint32_t> open_;  // node indices of the containers around at_
  size_t at_ = 0;
  Expect expect_ = Expect::kValue;
};

}  // namespace sluice::gateway
