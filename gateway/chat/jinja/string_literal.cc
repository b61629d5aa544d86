// SPDX-License-Identifier: Apache-2.0
#include "gateway/chat/jinja/string_literal.h"

#include <charconv>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "gateway/chat/jinja/unicode.h"
#include "proto/wire/status_macros.h"

namespace sluice::gateway::jinja {
namespace {

constexpr std::string_view kNames = "\\'\"abfnrtv";
constexpr std::string_view kMeanings = "\\'\"\a\b\f\n\r\t\v";

absl::StatusOr<char32_t> HexEscape(std::string_view body, size_t pos, size_t digits) {
  unsigned value = 0;
  const char* begin = body.data() + pos;
  if (pos + digits > body.size() ||
      std::from_chars(begin, begin + digits, value, 16).ptr != begin + digits) {
    return absl::InvalidArgumentError(
        absl::StrCat("a string has an escape with fewer than ", digits, " hexadecimal digits"));
  }
  if (value > 0x10ffff || (value >= 0xd800 && value < 0xe000)) {
    return absl::InvalidArgumentError("a string has an escape that is not a Unicode character");
  }
  return static_cast<char32_t>(value);
}

}  // namespace

absl::StatusOr<std::string> UnescapeStringLiteral(std::string_view body) {
  std::string out;
  out.reserve(body.size());
  for (size_t pos = 0; pos < body.size(); ++pos) {
    if (body[pos] != '\\' || pos + 1 == body.size()) {
      out.push_back(body[pos]);
      continue;
    }
    const char name = body[++pos];
    const size_t index = kNames.find(name);
    if (index != std::string_view::npos) {
      out.push_back(kMeanings[index]);
    } else if (name == '\n') {
      continue;  // a backslash at the end of a line joins it with the next
    } else if (name == 'x' || name == 'u' || name == 'U') {
      const size_t digits = name == 'x' ? 2 : name == 'u' ? 4 : 8;
      SLUICE_ASSIGN_OR_RETURN(const char32_t point, HexEscape(body, pos + 1, digits));
      AppendUtf8(point, &out);
      pos += digits;
    } else if (name >= '0' && name <= '7') {
      char32_t point = 0;
      size_t digits = 0;
      while (digits < 3 && pos + digits < body.size() && body[pos + digits] >= '0' &&
             body[pos + digits] <= '7') {
        point = point * 8 + static_cast<char32_t>(body[pos + digits] - '0');
        ++digits;
      }
      AppendUtf8(point, &out);
      pos += digits - 1;
    } else if (name == 'N') {
      return absl::InvalidArgumentError("a string has an escape \\N, which is not supported");
    } else {
      out.push_back('\\');
      out.push_back(name);
    }
  }
  return out;
}

}  // namespace sluice::gateway::jinja
