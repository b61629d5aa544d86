// SPDX-License-Identifier: Apache-2.0
// continue_final_message, as Transformers does it: the last message's content gets a tag before
// rendering, and the rendered text is cut where the tag came out, so that the model goes on writing
// that message. One render, one thread.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "gateway/chat/jinja/text.h"
#include "gateway/chat/jinja/value.h"

namespace sluice::gateway {

class FinalMessage {
 public:
  // Tags the last message of *messages. INVALID_ARGUMENT where there is no text to continue, or
  // where the template reads no content at all.
  static absl::StatusOr<FinalMessage> Mark(std::string_view template_source,
                                           jinja::Value* messages);
  // The text up to the tag. INVALID_ARGUMENT where the template left out the tag or the message.
  absl::StatusOr<jinja::Text> Cut(const jinja::Text& rendered) const;

 private:
  explicit FinalMessage(std::string content) : content_(std::move(content)) {}
  std::string content_;  // what the client sent, before the tag
};

}  // namespace sluice::gateway
