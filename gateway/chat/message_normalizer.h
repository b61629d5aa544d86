// SPDX-License-Identifier: Apache-2.0
// What a server does to OpenAI messages before any template sees them, so that a client's ordinary
// requests come out as the model was trained to read them. Separate from ChatTemplate, whose Render
// equals Jinja2 on what it is given. A pure function; any thread.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace sluice::gateway {

// The array of messages, normalized, as JSON (numbers keep Python's value and spelling):
// - role developer becomes system: templates drop roles they do not know;
// - content null or missing becomes "", so that no template prints None;
// - content that is a list of text (or refusal) parts becomes one string, the parts joined by "\n"
// as vLLM's Python
//   server does it;
// - `reasoning` is copied to `reasoning_content`, which is what templates read, unless that is
// given;
// - the arguments of tool calls, a string in the OpenAI API, become the JSON value they spell, so
// that tojson prints
//   them with the spacing the model was trained on; "" and null become {}; a string that is not
//   JSON stays verbatim;
// - tool messages that answer the calls of one assistant message are put into the order of these
// calls, since
//   templates print neither ids nor names and order is the only link. They stay as they are where
//   an id is missing, unknown or doubled.
// INVALID_ARGUMENT, naming messages[i] and the field, where a message is not an object, where
// content is neither null, text nor parts, and where a part is not text.
absl::StatusOr<std::string> NormalizeMessages(std::string_view messages_json);

}  // namespace sluice::gateway
