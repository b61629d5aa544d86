// SPDX-License-Identifier: Apache-2.0
// Random numbers and names of a session. Thread safe.
#pragma once

#include <cstdint>
#include <string>

namespace sluice::gateway {

// From the operating system.
uint64_t RandomSeed();

// `digits` (at most 32) lower-case hexadecimal digits that depend on the key alone.
std::string HexId(uint64_t key, int digits);

}  // namespace sluice::gateway
