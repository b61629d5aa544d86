// SPDX-License-Identifier: Apache-2.0
// Normalization form C, equal to Hugging Face Tokenizers' (and so to Unicode 9 where later versions
// added marks and decompositions). Work is done only around characters that matter; the rest is
// copied. Pure function, any thread.
#pragma once

#include <string>
#include <string_view>

namespace sluice::gateway {

// REQUIRES: text is valid UTF-8.
std::string NormalizeNfc(std::string_view text);

}  // namespace sluice::gateway
