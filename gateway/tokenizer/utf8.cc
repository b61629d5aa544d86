// SPDX-License-Identifier: Apache-2.0
#include "gateway/tokenizer/utf8.h"

namespace sluice::gateway {

void AppendUtf8(char32_t c, std::string& out) {
  if (c < 0x80) {
    out += static_cast<char>(c);
  } else if (c < 0x800) {
    out += static_cast<char>(0xC0 | c >> 6);
    out += static_cast<char>(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    out += static_cast<char>(0xE0 | c >> 12);
    out += static_cast<char>(0x80 | (c >> 6 & 0x3F));
    out += static_cast<char>(0x80 | (c & 0x3F));
  } else {
    out += static_cast<char>(0xF0 | c >> 18);
    out += static_cast<char>(0x80 | (c >> 12 & 0x3F));
    out += static_cast<char>(0x80 | (c >> 6 & 0x3F));
    out += static_cast<char>(0x80 | (c & 0x3F));
  }
}

Utf8Prefix ClassifyUtf8(std::string_view text) {
  using Kind = Utf8Prefix::Kind;
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return {Kind::kValid, 1};
  if (lead < 0xC2 || lead > 0xF4) return {Kind::kInvalid, 1};
  const uint32_t length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  // The second byte alone decides between overlong forms, surrogates, and what lies beyond
  // U+10FFFF.
  const unsigned char second_min = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
  const unsigned char second_max = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
  for (uint32_t i = 1; i < length; ++i) {
    if (i == text.size()) return {Kind::kIncomplete, i};
    const unsigned char b = byte(i);
    if (i == 1 ? b < second_min || b > second_max : (b & 0xC0) != 0x80) return {Kind::kInvalid, i};
  }
  return {Kind::kValid, length};
}

size_t AppendLossyUtf8(std::string_view bytes, std::string& out) {
  size_t pos = 0;
  size_t copied = 0;  // bytes[copied, pos) is valid and not yet appended
  while (pos < bytes.size()) {
    const Utf8Prefix prefix = ClassifyUtf8(bytes.substr(pos));
    if (prefix.kind == Utf8Prefix::Kind::kIncomplete) break;
    if (prefix.kind == Utf8Prefix::Kind::kInvalid) {
      out.append(bytes, copied, pos - copied);
      AppendUtf8(U'\uFFFD', out);
      copied = pos + prefix.bytes;
    }
    pos += prefix.bytes;
  }
  out.append(bytes, copied, pos - copied);
  return pos;
}

}  // namespace sluice::gateway
