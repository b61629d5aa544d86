// SPDX-License-Identifier: Apache-2.0
// Reads and checks the fields that make a chat prompt: messages, tools, template arguments. Private
// to this folder.
#pragma once

#include <string_view>

#include "absl/status/status.h"
#include "gateway/openai/chat_request.h"
#include "gateway/openai/field_reader.h"

namespace sluice::gateway {

// Errors stay in the reader.
void ReadConversation(FieldReader& fields, ConversationOptions& conversation);

// One error naming messages[i]... or tools[i]..., or OK.
absl::Status CheckMessages(const JsonValue& messages);
absl::Status CheckTools(const JsonValue& tools);

}  // namespace sluice::gateway
