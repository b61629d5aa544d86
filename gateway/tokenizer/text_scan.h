// SPDX-License-Identifier: Apache-2.0
// One pass over a text before it is encoded: is it UTF-8, and can normalizing change it? Pure
// function, any thread.
#pragma once

#include <cstddef>
#include <string_view>

namespace sluice::gateway {

struct TextScan {
  size_t valid_bytes = 0;       // the text's size, or where its first invalid sequence begins
  bool matters_to_nfc = false;  // false: the text (its valid part) is in NFC already
};

TextScan ScanText(std::string_view text);

}  // namespace sluice::gateway
