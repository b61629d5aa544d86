// SPDX-License-Identifier: Apache-2.0
#include "gateway/tokenizer/text_scan.h"

#include <cstdint>
#include <cstring>

#include "gateway/tokenizer/char_properties.h"
#include "gateway/tokenizer/utf8.h"

namespace sluice::gateway {

TextScan ScanText(std::string_view text) {
  const CharProperties& properties = CharProperties::Get();
  TextScan scan;
  size_t pos = 0;
  while (pos < text.size()) {
    if (static_cast<unsigned char>(text[pos]) < 0x80) {
      // ASCII comes in runs: eight bytes at a time.
      uint64_t word = 0;
      while (pos + sizeof(word) <= text.size()) {
        std::memcpy(&word, &text[pos], sizeof(word));
        if ((word & 0x8080808080808080u) != 0) break;
        pos += sizeof(word);
      }
      while (pos < text.size() && static_cast<unsigned char>(text[pos]) < 0x80) ++pos;
      continue;
    }
    // Most other text is three-byte characters with nothing special about their second byte.
    const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[pos + i]); };
    uint32_t bytes = 3;
    const bool plain_three = pos + 3 <= text.size() && byte(0) > 0xE0 && byte(0) < 0xED &&
                             (byte(1) & 0xC0) == 0x80 && (byte(2) & 0xC0) == 0x80;
    if (!plain_three) {
      const Utf8Prefix prefix = ClassifyUtf8(text.substr(pos));
      if (prefix.kind != Utf8Prefix::Kind::kValid) break;
      bytes = prefix.bytes;
    }
    scan.matters_to_nfc |= properties.MattersToNfc(DecodeUtf8(&text[pos]).code_point);
    pos += bytes;
  }
  scan.valid_bytes = pos;
  return scan;
}

}  // namespace sluice::gateway
