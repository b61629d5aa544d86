// SPDX-License-Identifier: Apache-2.0
#include "gateway/openai/tokenize_request.h"

#include <utility>

#include "gateway/openai/conversation_fields.h"
#include "gateway/openai/error.h"
#include "gateway/openai/field_reader.h"
#include "gateway/openai/json_reader.h"
#include "gateway/openai/json_writer.h"
#include "proto/wire/status_macros.h"

namespace sluice::gateway {

absl::StatusOr<TokenizeRequest> ParseTokenizeRequest(std::string_view body) {
  SLUICE_ASSIGN_OR_RETURN(const JsonDocument document, ParseBody(body));
  FieldReader fields(document.root());
  TokenizeRequest request;
  request.model = fields.String("model").value_or("");
  request.return_token_strs = fields.Bool("return_token_strs").value_or(false);
  const bool has_messages = fields.Any("messages").has_value();
  if (const auto prompt = fields.String("prompt")) {
    if (has_messages) fields.FailField("prompt", "and messages cannot both be given");
    request.input = *prompt;
  } else if (has_messages) {
    ConversationOptions conversation;
    ReadConversation(fields, conversation);
    request.input = std::move(conversation);
  } else {
    fields.FailField("prompt", "or messages is required");
  }
  SLUICE_RETURN_IF_ERROR(fields.status());
  return request;
}

absl::StatusOr<DetokenizeRequest> ParseDetokenizeRequest(std::string_view body) {
  SLUICE_ASSIGN_OR_RETURN(const JsonDocument document, ParseBody(body));
  FieldReader fields(document.root());
  DetokenizeRequest request;
  request.model = fields.String("model").value_or("");
  if (auto tokens = fields.Ids("tokens")) {
    request.tokens = *std::move(tokens);
  } else {
    fields.FailField("tokens", "is required");
  }
  SLUICE_RETURN_IF_ERROR(fields.status());
  return request;
}

std::string TokenizeResponseBody(const TokenizeResult& result) {
  JsonWriter json;
  json.BeginObject();
  json.Key("count").Int(static_cast<int64_t>(result.tokens.size()));
  json.Key("max_model_len").Int(result.max_model_len);
  json.Key("tokens").BeginArray();
  for (const int32_t id : result.tokens) json.Int(id);
  json.EndArray();
  json.Key("token_strs");
  if (result.token_strs) {
    json.BeginArray();
    for (const std::string& token : *result.token_strs) json.String(token);
    json.EndArray();
  } else {
    json.Null();
  }
  json.EndObject();
  return json.Take();
}

std::string DetokenizeResponseBody(std::string_view text) {
  JsonWriter json;
  json.BeginObject().Key("prompt").String(text).EndObject();
  return json.Take();
}

}  // namespace sluice::gateway
