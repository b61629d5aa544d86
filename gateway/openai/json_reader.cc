// SPDX-License-Identifier: Apache-2.0
#include "gateway/openai/json_reader.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "gateway/openai/json_parser.h"

namespace sluice::gateway {
namespace {

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return c - 'A' + 10;
}

uint32_t HexCode(std::string_view four) {
  uint32_t code = 0;
  for (const char c : four) code = code * 16 + static_cast<uint32_t>(HexDigit(c));
  return code;
}

void AppendUtf8(uint32_t code, std::string& out) {
  if (code < 0x80) {
    out += static_cast<char>(code);
  } else if (code < 0x800) {
    out += static_cast<char>(0xC0 | (code >> 6));
    out += static_cast<char>(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    out += static_cast<char>(0xE0 | (code >> 12));
    out += static_cast<char>(0x80 | ((code >> 6) & 0x3F));
    out += static_cast<char>(0x80 | (code & 0x3F));
  } else {
    out += static_cast<char>(0xF0 | (code >> 18));
    out += static_cast<char>(0x80 | ((code >> 12) & 0x3F));
    out += static_cast<char>(0x80 | ((code >> 6) & 0x3F));
    out += static_cast<char>(0x80 | (code & 0x3F));
  }
}

// The inside of a string literal that the parser has checked.
std::string DecodeEscapes(std::string_view inside) {
  std::string out;
  out.reserve(inside.size());
  for (size_t i = 0; i < inside.size();) {
    if (inside[i] != '\\') {
      const size_t next = std::min(inside.find('\\', i), inside.size());
      out.append(inside.substr(i, next - i));
      i = next;
      continue;
    }
    const char kind = inside[i + 1];
    i += 2;
    switch (kind) {
      case 'b':
        out += '\b';
        break;
      case 'f':
        out += '\f';
        break;
      case 'n':
        out += '\n';
        break;
      case 'r':
        out += '\r';
        break;
      case 't':
        out += '\t';
        break;
      case 'u': {
        uint32_t code = HexCode(inside.substr(i, 4));
        i += 4;
        if (code >= 0xD800 && code < 0xDC00) {
          code = 0x10000 + ((code - 0xD800) << 10) + (HexCode(inside.substr(i + 2, 4)) - 0xDC00);
          i += 6;
        }
        AppendUtf8(code, out);
        break;
      }
      default:
        out += kind;  // " \ /
    }
  }
  return out;
}

}  // namespace

const char* JsonTypeName(JsonType type) {
  switch (type) {
    case JsonType::kNull:
      return "null";
    case JsonType::kBool:
      return "a boolean";
    case JsonType::kNumber:
      return "a number";
    case JsonType::kString:
      return "a string";
    case JsonType::kArray:
      return "an array";
    case JsonType::kObject:
      return "an object";
  }
  return "unknown";
}

absl::StatusOr<JsonDocument> JsonDocument::Parse(std::string_view text, const JsonLimits& limits) {
  if (const auto bad = FindInvalidUtf8(text)) {
    return absl::InvalidArgumentError(absl::StrCat("the body is not valid UTF-8 at byte ", *bad));
  }
  return JsonParser(text, limits).Run();
}

JsonValue JsonDocument::root() const { return JsonValue(this, 0); }

std::string_view JsonValue::raw() const {
  return document_->text_.substr(node().begin, node().end - node().begin);
}

bool JsonValue::AsBool() const { return raw() == "true"; }

std::string JsonValue::AsString() const {
  const std::string_view literal = raw();
  return DecodeEscapes(literal.substr(1, literal.size() - 2));
}

std::vector<JsonValue> JsonValue::Elements() const {
  std::vector<JsonValue> elements;
  elements.reserve(size());
  for (uint32_t i = index_ + 1; i < node().after; i = document_->nodes_[i].after) {
    elements.push_back(At(i));
  }
  return elements;
}

std::vector<std::pair<std::string, JsonValue>> JsonValue::Members() const {
  std::vector<std::pair<std::string, JsonValue>> members;
  members.reserve(size());
  for (uint32_t i = index_ + 1; i < node().after; i = document_->nodes_[i + 1].after) {
    members.emplace_back(At(i).AsString(), At(i + 1));
  }
  return members;
}

bool JsonValue::KeyEquals(std::string_view key) const {
  const std::string_view literal = raw();
  const std::string_view inside = literal.substr(1, literal.size() - 2);
  if (inside.find('\\') == std::string_view::npos) return inside == key;
  return DecodeEscapes(inside) == key;
}

std::optional<JsonValue> JsonValue::Find(std::string_view key) const {
  for (uint32_t i = index_ + 1; i < node().after; i = document_->nodes_[i + 1].after) {
    if (At(i).KeyEquals(key)) return At(i + 1);
  }
  return std::nullopt;
}

std::optional<double> JsonValue::AsDouble() const {
  const std::string_view text = raw();
  double value = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
  if (result.ec == std::errc::result_out_of_range) {
    // Too large, or so small that zero is what was meant: strtod tells which.
    value = std::strtod(std::string(text).c_str(), nullptr);
    return std::isfinite(value) ? std::optional<double>(value) : std::nullopt;
  }
  if (result.ec != std::errc() || !std::isfinite(value)) return std::nullopt;
  return value;
}

std::optional<int64_t> JsonValue::AsInt64() const {
  const std::string_view text = raw();
  int64_t value = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
  if (result.ec == std::errc() && result.ptr == text.data() + text.size()) return value;
  if (result.ec == std::errc::result_out_of_range) return std::nullopt;
  const std::optional<double> real = AsDouble();
  // 2^53: beyond it a double does not say which whole number was meant.
  if (!real || *real != std::floor(*real) || std::fabs(*real) > 9007199254740992.0) {
    return std::nullopt;
  }
  return static_cast<int64_t>(*real);
}

std::optional<uint64_t> JsonValue::AsUint64() const {
  const std::string_view text = raw();
  uint64_t value = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
  if (result.ec == std::errc() && result.ptr == text.data() + text.size()) return value;
  const std::optional<int64_t> whole = AsInt64();
  if (!whole || *whole < 0) return std::nullopt;
  return static_cast<uint64_t>(*whole);
}

std::optional<size_t> FindInvalidUtf8(std::string_view text) {
  const auto* bytes = reinterpret_cast<const unsigned char*>(text.data());
  const size_t size = text.size();
  for (size_t i = 0; i < size;) {
    const unsigned char lead = bytes[i];
    if (lead < 0x80) {
      ++i;
      continue;
    }
    const int length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
    if (lead < 0xC2 || lead > 0xF4 || i + static_cast<size_t>(length) > size) return i;
    // The second byte's range rules out overlong forms, surrogates and code points above U+10FFFF.
    unsigned char low = 0x80;
    unsigned char high = 0xBF;
    if (lead == 0xE0) low = 0xA0;
    if (lead == 0xED) high = 0x9F;
    if (lead == 0xF0) low = 0x90;
    if (lead == 0xF4) high = 0x8F;
    if (bytes[i + 1] < low || bytes[i + 1] > high) return i;
    for (int k = 2; k < length; ++k) {
      if ((bytes[i + static_cast<size_t>(k)] & 0xC0) != 0x80) return i;
    }
    i += static_cast<size_t>(length);
  }
  return std::nullopt;
}

}  // namespace sluice::gateway
