// SPDX-License-Identifier: Apache-2.0
// The ids of the control tokens that the output is split by, found by their spelling in
// tokenizer.json: numbers differ between models. A model without one of them simply never shows it.
#pragma once

#include <optional>

#include "gateway/tokenizer/tokenizer.h"

namespace sluice::gateway {

struct ControlTokens {
  std::optional<TokenId> think_open;
  std::optional<TokenId> think_close;
  std::optional<TokenId> tool_call_open;
  std::optional<TokenId> tool_call_close;

  static ControlTokens Find(const Tokenizer& tokenizer);
};

}  // namespace sluice::gateway
