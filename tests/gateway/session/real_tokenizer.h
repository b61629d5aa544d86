// SPDX-License-Identifier: Apache-2.0
// The real tokenizer, loaded once per test binary; null when there is none.
#pragma once

#include <memory>
#include <string>

#include "gateway/tokenizer/tokenizer.h"
#include "tests/support/qwen3_dir.h"

namespace sluice::gateway::testing {

inline const Tokenizer* RealTokenizer() {
  static const std::unique_ptr<const Tokenizer> tokenizer = [] {
    const std::string path = sluice::testing::Qwen3TokenizerJson();
    if (path.empty()) return std::unique_ptr<const Tokenizer>();
    return Tokenizer::Load(path).value();  // a tokenizer.json that does not load fails the tests
  }();
  return tokenizer.get();
}

}  // namespace sluice::gateway::testing

#define SLUICE_REQUIRE_TOKENIZER()                                                 \
  if (sluice::gateway::testing::RealTokenizer() == nullptr) {                      \
    GTEST_SKIP() << "no tokenizer.json: set SLUICE_QWEN3_DIR to the model folder"; \
  }
