// SPDX-License-Identifier: Apache-2.0
#include "gateway/openai/field_reader.h"

#include <cfloat>
#include <cmath>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gateway/openai/error.h"
#include "proto/wire/status_macros.h"

namespace sluice::gateway {
namespace {

constexpr size_t kMaxUnknownFields = 16;
constexpr size_t kMaxUnknownBytes = 64;

absl::string_view View(std::string_view text) { return {text.data(), text.size()}; }

// Short enough for a message.
std::string Shown(const JsonValue& value) {
  const std::string_view raw = value.raw();
  if (value.is(JsonType::kNumber) && raw.size() <= 40) return std::string(raw);
  return JsonTypeName(value.type());
}

bool AsksForNothing(const JsonValue& value) {
  switch (value.type()) {
    case JsonType::kNull:
      return true;
    case JsonType::kBool:
      return !value.AsBool();
    case JsonType::kNumber:
      return false;
    case JsonType::kString:
      return value.raw().size() == 2;
    case JsonType::kArray:
    case JsonType::kObject:
      return value.size() == 0;
  }
  return false;
}

}  // namespace

std::optional<JsonValue> FieldReader::Any(std::string_view name) {
  known_.emplace(name);
  if (!ok()) return std::nullopt;
  const std::optional<JsonValue> value = object_.Find(name);
  if (!value || value->is(JsonType::kNull)) return std::nullopt;
  return value;
}

std::optional<JsonValue> FieldReader::Typed(std::string_view name, JsonType type) {
  const std::optional<JsonValue> value = Any(name);
  if (!value) return std::nullopt;
  if (value->is(type)) return value;
  FailField(name, absl::StrCat("must be ", JsonTypeName(type), "; got ", Shown(*value)));
  return std::nullopt;
}

std::optional<bool> FieldReader::Bool(std::string_view name) {
  const std::optional<JsonValue> value = Typed(name, JsonType::kBool);
  return value ? std::optional<bool>(value->AsBool()) : std::nullopt;
}

std::optional<std::string> FieldReader::String(std::string_view name) {
  const std::optional<JsonValue> value = Typed(name, JsonType::kString);
  return value ? std::optional<std::string>(value->AsString()) : std::nullopt;
}

std::optional<float> FieldReader::Float(std::string_view name) {
  const std::optional<JsonValue> value = Typed(name, JsonType::kNumber);
  if (!value) return std::nullopt;
  const std::optional<double> number = value->AsDouble();
  if (!number || std::fabs(*number) > FLT_MAX) {
    FailField(name, absl::StrCat("is out of range; got ", Shown(*value)));
    return std::nullopt;
  }
  return static_cast<float>(*number);
}

std::optional<int> FieldReader::Int(std::string_view name, int64_t low, int64_t high) {
  const std::optional<JsonValue> value = Typed(name, JsonType::kNumber);
  if (!value) return std::nullopt;
  const std::optional<int64_t> number = value->AsInt64();
  if (!number || *number < low || *number > high) {
    FailField(name, absl::StrCat("must be a whole number from ", low, " to ", high, "; got ",
                                 Shown(*value)));
    return std::nullopt;
  }
  return static_cast<int>(*number);
}

std::optional<uint64_t> FieldReader::Seed(std::string_view name) {
  const std::optional<JsonValue> value = Typed(name, JsonType::kNumber);
  if (!value) return std::nullopt;
  if (const auto number = value->AsUint64()) return number;
  if (const auto number = value->AsInt64()) return static_cast<uint64_t>(*number);
  FailField(name, absl::StrCat("must be a whole number of at most 64 bits; got ", Shown(*value)));
  return std::nullopt;
}

std::optional<std::vector<int32_t>> FieldReader::Ids(std::string_view name) {
  const std::optional<JsonValue> value = Typed(name, JsonType::kArray);
  if (!value) return std::nullopt;
  std::vector<int32_t> ids;
  if (absl::Status read = ReadIds(*value, absl::StrCat(path_, View(name)), ids); !read.ok()) {
    Fail(std::move(read));
    return std::nullopt;
  }
  return ids;
}

void FieldReader::Refuse(std::initializer_list<std::string_view> names, std::string_view advice) {
  for (const std::string_view name : names) {
    const std::optional<JsonValue> value = Any(name);
    if (value && !AsksForNothing(*value)) RefuseGiven({name}, advice);
  }
}

void FieldReader::RefuseGiven(std::initializer_list<std::string_view> names,
                              std::string_view advice) {
  for (const std::string_view name : names) {
    if (Any(name)) FailField(name, absl::StrCat("is not supported yet; ", View(advice)));
  }
}

void FieldReader::Accept(std::initializer_list<std::string_view> names) {
  for (const std::string_view name : names) known_.emplace(name);
}

void FieldReader::Fail(absl::Status status) {
  if (ok()) status_ = std::move(status);
}

void FieldReader::FailField(std::string_view name, std::string_view message) {
  Fail(FieldError(absl::StrCat(path_, View(name)), message));
}

std::vector<std::string> FieldReader::Unknown() const {
  std::vector<std::string> unknown;
  for (auto& [key, unused] : object_.Members()) {
    if (known_.contains(key)) continue;
    if (unknown.size() == kMaxUnknownFields) break;
    unknown.push_back(key.substr(0, kMaxUnknownBytes));
  }
  return unknown;
}

absl::Status ReadIds(const JsonValue& value, std::string_view param, std::vector<int32_t>& ids) {
  const std::vector<JsonValue> elements = value.Elements();
  ids.reserve(elements.size());
  for (size_t i = 0; i < elements.size(); ++i) {
    const std::optional<int64_t> id =
        elements[i].is(JsonType::kNumber) ? elements[i].AsInt64() : std::nullopt;
    if (!id || *id < 0 || *id > std::numeric_limits<int32_t>::max()) {
      return FieldError(absl::StrCat(View(param), "[", i, "]"),
                        absl::StrCat("must be a token id; got ", Shown(elements[i])));
    }
    ids.push_back(static_cast<int32_t>(*id));
  }
  return absl::OkStatus();
}

absl::StatusOr<JsonDocument> ParseBody(std::string_view body) {
  SLUICE_ASSIGN_OR_RETURN(JsonDocument document, JsonDocument::Parse(body));
  if (!document.root().is(JsonType::kObject)) {
    return absl::InvalidArgumentError(
        absl::StrCat("the body must be a JSON object; got ", JsonTypeName(document.root().type())));
  }
  return document;
}

}  // namespace sluice::gateway
