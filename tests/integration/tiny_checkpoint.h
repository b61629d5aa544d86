// SPDX-License-Identifier: Apache-2.0
// A random-weight model folder that loads and steps in milliseconds: 2 layers, 4 heads, and a
// tokenizer of the 256 bytes and three added tokens. Made once per test process, by the script that
// quickstart uses.
#pragma once

#include <string>

namespace sluice::integration {

inline constexpr int kTinyVocab = 259;
inline constexpr int kTinyEndOfTurn = 258;

// The folder; removed when the process ends. Fails the test when python3 cannot make it.
const std::string& TinyCheckpoint();

// A copy of it that a test may spoil.
std::string CopyOfTinyCheckpoint();

}  // namespace sluice::integration
