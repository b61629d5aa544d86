// SPDX-License-Identifier: Apache-2.0
// The byte-level alphabet of GPT-2: every byte has one printable character, so that tokens of
// arbitrary bytes can be spelled in JSON. Pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace sluice::gateway {

// The bytes that a token spells; nothing when a character is not of the alphabet. REQUIRES: valid
// UTF-8.
std::optional<std::string> BytesOfSpelling(std::string_view spelling);

std::string SpellingOfBytes(std::string_view bytes);

}  // namespace sluice::gateway
