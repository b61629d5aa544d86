// SPDX-License-Identifier: Apache-2.0
#include "gateway/openai/delta.h"

#include <algorithm>

namespace sluice::gateway {

const char* ChoiceEndName(ChoiceEnd end) {
  switch (end) {
    case ChoiceEnd::kNone:
      return "";
    case ChoiceEnd::kStop:
      return "stop";
    case ChoiceEnd::kLength:
      return "length";
    case ChoiceEnd::kToolCalls:
      return "tool_calls";
  }
  return "";
}

void JoinDelta(const ChoiceDelta& delta, ChoiceDelta& whole) {
  whole.choice = delta.choice;
  whole.reasoning += delta.reasoning;
  whole.content += delta.content;
  for (const ToolCallDelta& call : delta.tool_calls) {
    auto it = std::find_if(whole.tool_calls.begin(), whole.tool_calls.end(),
                           [&](const ToolCallDelta& known) { return known.index == call.index; });
    if (it == whole.tool_calls.end()) {
      whole.tool_calls.push_back(call);
    } else {
      it->arguments += call.arguments;
    }
  }
  whole.logprobs.insert(whole.logprobs.end(), delta.logprobs.begin(), delta.logprobs.end());
  whole.prompt_logprobs.insert(whole.prompt_logprobs.end(), delta.prompt_logprobs.begin(),
                               delta.prompt_logprobs.end());
  whole.completion_tokens = delta.completion_tokens;
  whole.reasoning_tokens = delta.reasoning_tokens;
  if (delta.end != ChoiceEnd::kNone) {
    whole.end = delta.end;
    whole.stop_reason = delta.stop_reason;
  }
}

}  // namespace sluice::gateway
