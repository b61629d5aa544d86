// SPDX-License-Identifier: Apache-2.0
#include "gateway/session/control_tokens.h"

namespace sluice::gateway {

ControlTokens ControlTokens::Find(const Tokenizer& tokenizer) {
  ControlTokens tokens;
  tokens.think_open = tokenizer.AddedTokenId("<think>");
  tokens.think_close = tokenizer.AddedTokenId("</think>");
  tokens.tool_call_open = tokenizer.AddedTokenId("<tool_call>");
  tokens.tool_call_close = tokenizer.AddedTokenId("</tool_call>");
  return tokens;
}

}  // namespace sluice::gateway
