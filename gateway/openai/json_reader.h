// SPDX-License-Identifier: Apache-2.0
// JsonDocument: strict RFC 8259 reading of a text that a client sent. It exists beside
// nlohmann/json because every value knows its place in the source: messages, tools and template
// arguments are cut out byte for byte, so that key order and the spelling of numbers survive. It is
// iterative (no input can overflow the stack), bounded in depth and in number of values, and
// refuses invalid UTF-8, unpaired surrogates and duplicate keys. A document is immutable after
// Parse; values are views into it and into the text, which must outlive both.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

namespace sluice::gateway {

enum class JsonType : uint8_t { kNull, kBool, kNumber, kString, kArray, kObject };

// "null", "a boolean", "a number", ...: for messages.
const char* JsonTypeName(JsonType type);

struct JsonLimits {
  int depth = 128;
  size_t values = 4'000'000;  // keys included; 20 bytes each
};

class JsonValue;

class JsonDocument {
 public:
  // INVALID_ARGUMENT with the byte offset and what was found there.
  static absl::StatusOr<JsonDocument> Parse(std::string_view text, const JsonLimits& limits = {});

  JsonValue root() const;

 private:
  friend class JsonValue;
  friend class JsonParser;
  // Nodes in order of appearance. The members of an object are key, value, key, value, ...
  struct Node {
    JsonType type;
    uint32_t begin;  // byte range of the value in the text
    uint32_t end;
    uint32_t after;  // index of the first node behind this value's subtree
    uint32_t size;   // elements or members
  };
  std::string_view text_;
  std::vector<Node> nodes_;
};

class JsonValue {
 public:
  JsonType type() const { return node().type; }
  bool is(JsonType type) const { return node().type == type; }
  // The source text, byte for byte.
  std::string_view raw() const;

  // REQUIRES: the type fits.
  bool AsBool() const;
  std::string AsString() const;  // escapes decoded
  size_t size() const { return node().size; }
  std::vector<JsonValue> Elements() const;
  std::vector<std::pair<std::string, JsonValue>> Members() const;
  std::optional<JsonValue> Find(std::string_view key) const;

  // REQUIRES: a number. Nothing when it is not finite as a double, or not a whole number (1.0 and
  // 1e2 are) in the range of the type.
  std::optional<double> AsDouble() const;
  std::optional<int64_t> AsInt64() const;
  std::optional<uint64_t> AsUint64() const;

 private:
  friend class JsonDocument;
  friend class JsonParser;
  JsonValue(const JsonDocument* document, uint32_t index) : document_(document), index_(index) {}
  const JsonDocument::Node& node() const { return document_->nodes_[index_]; }
  JsonValue At(uint32_t index) const { return JsonValue(document_, index); }
  bool KeyEquals(std::string_view key) const;

  const JsonDocument* document_;
  uint32_t index_;
};

// Byte offset of the first byte that is not valid UTF-8 (overlong forms and surrogates included),
// if any.
std::optional<size_t> FindInvalidUtf8(std::string_view text);

}  // namespace sluice::gateway
