// SPDX-License-Identifier: Apache-2.0
// FieldReader: typed reading of one JSON object's fields. null means absent, as clients of every
// language send it. The first error is kept and later reads return nothing, so that a long list of
// fields reads as a list; the caller checks status() once. Also knows which fields nobody asked
// for. Private to this folder; not thread safe.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "gateway/openai/json_reader.h"

namespace sluice::gateway {

class FieldReader {
 public:
  // REQUIRES: an object, whose document outlives this. `path` comes before names in messages
  // ("tools[0].").
  explicit FieldReader(JsonValue object, std::string path = "")
      : object_(object), path_(std::move(path)) {}

  std::optional<JsonValue> Any(std::string_view name);
  std::optional<JsonValue> Typed(std::string_view name, JsonType type);
  std::optional<bool> Bool(std::string_view name);
  std::optional<std::string> String(std::string_view name);
  std::optional<float> Float(std::string_view name);
  std::optional<int> Int(std::string_view name, int64_t low, int64_t high);
  // Whole numbers from -2^63 to 2^64 - 1; negative ones wrap around.
  std::optional<uint64_t> Seed(std::string_view name);
  // Token ids: an array of whole numbers, not negative.
  std::optional<std::vector<int32_t>> Ids(std::string_view name);

  // A field we know, do not support, and may not ignore because it changes the output. Null, false
  // and empty values ask for nothing.
  void Refuse(std::initializer_list<std::string_view> names, std::string_view advice);
  // As Refuse, of a field whose false or empty value asks for something too: only null does not.
  void RefuseGiven(std::initializer_list<std::string_view> names, std::string_view advice);
  // A field that is known and makes no difference here.
  void Accept(std::initializer_list<std::string_view> names);

  void Fail(absl::Status status);
  void FailField(std::string_view name, std::string_view message);
  const absl::Status& status() const { return status_; }
  bool ok() const { return status_.ok(); }

  // In order of appearance, shortened, at most 16.
  std::vector<std::string> Unknown() const;

 private:
  JsonValue object_;
  std::string path_;
  std::set<std::string, std::less<>> known_;
  absl::Status status_;
};

// Reads an array of token ids; the error names `param`.
absl::Status ReadIds(const JsonValue& value, std::string_view param, std::vector<int32_t>& ids);

// The root object of a body, or the reason why there is none.
absl::StatusOr<JsonDocument> ParseBody(std::string_view body);

}  // namespace sluice::gateway
