// SPDX-License-Identifier: Apache-2.0
// JsonWriter: builds one compact JSON text front to back; keys appear in the order of the calls.
// Strings that are not valid UTF-8 get U+FFFD in place of bad bytes, so the output is always valid.
// Not thread safe.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace sluice::gateway {

class JsonWriter {
 public:
  JsonWriter& BeginObject();
  JsonWriter& EndObject();
  JsonWriter& BeginArray();
  JsonWriter& EndArray();
  JsonWriter& Key(std::string_view key);
  JsonWriter& String(std::string_view value);
  JsonWriter& StringOrNull(std::string_view value);  // null when empty
  JsonWriter& Int(int64_t value);
  // Shortest text that reads back as the same float; infinities are held at -9999 and 9999, NaN is
  // null.
  JsonWriter& Float(float value);
  JsonWriter& Bool(bool value);
  JsonWriter& Null();
  // A JSON text, taken as it is.
  JsonWriter& Raw(std::string_view json);

  // Once.
  std::string Take() { return std::move(out_); }

 private:
  void Separate();

  std::string out_;
  bool needs_comma_ = false;  // a value stands before, in the same container
};

}  // namespace sluice::gateway
