// SPDX-License-Identifier: Apache-2.0
// SHA-256 of a file's bytes, by which a gateway and a worker group know that they hold the same
// tokenizer.json.
#pragma once

#include <string>
#include <string_view>

namespace sluice::gateway {

// 64 lower-case hex digits.
std::string Sha256Hex(std::string_view bytes);

}  // namespace sluice::gateway
