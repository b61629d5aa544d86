// SPDX-License-Identifier: Apache-2.0
#include "gateway/openai/response_json.h"

#include <algorithm>
#include <optional>
#include <string>
#include <variant>

#include "gateway/openai/json_reader.h"

namespace sluice::gateway {
namespace {

// A token's bytes as a JSON string. A part of a character is spelled as OpenAI spells it: \xe4\xbd.
std::string TokenText(std::string_view bytes, std::string_view partial_prefix) {
  if (!FindInvalidUtf8(bytes)) return std::string(bytes);
  static constexpr char kHex[] = "0123456789abcdef";
  std::string text(partial_prefix);
  for (const char c : bytes) {
    text += "\\x";
    text += kHex[(c >> 4) & 0xF];
    text += kHex[c & 0xF];
  }
  return text;
}

std::string ChatToken(std::string_view bytes) { return TokenText(bytes, ""); }
std::string CompletionToken(std::string_view bytes) { return TokenText(bytes, "bytes:"); }

void WriteBytes(std::string_view bytes, JsonWriter& json) {
  json.BeginArray();
  for (const char c : bytes) json.Int(static_cast<unsigned char>(c));
  json.EndArray();
}

// Code points that begin in these bytes.
int64_t CharactersIn(std::string_view bytes) {
  return std::count_if(bytes.begin(), bytes.end(),
                       [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; });
}

void WriteLogprob(const LogprobEntry& entry, JsonWriter& json) {
  if (entry.logprob) {
    json.Float(*entry.logprob);
  } else {
    json.Null();
  }
}

// The legacy shape: an object token -> logprob, the chosen token included. Keys must differ.
void WriteTopObject(const LogprobEntry& entry, JsonWriter& json) {
  if (!entry.logprob) {
    json.Null();
    return;
  }
  std::vector<std::string> written;
  json.BeginObject();
  const auto write = [&](std::string token, float logprob) {
    if (std::find(written.begin(), written.end(), token) != written.end()) return;
    json.Key(token).Float(logprob);
    written.push_back(std::move(token));
  };
  for (const LogprobEntry::Alternative& top : entry.top) {
    write(CompletionToken(top.token), top.logprob);
  }
  write(CompletionToken(entry.token), *entry.logprob);
  json.EndObject();
}

}  // namespace

void WriteHeader(const ResponseHeader& header, std::string_view object, JsonWriter& json) {
  json.Key("id").String(header.id);
  json.Key("object").String(object);
  json.Key("created").Int(header.created_unix_seconds);
  json.Key("model").String(header.model);
}

void WriteUsage(const ResponseUsage& usage, JsonWriter& json) {
  json.BeginObject();
  json.Key("prompt_tokens").Int(usage.prompt_tokens);
  json.Key("completion_tokens").Int(usage.completion_tokens);
  json.Key("total_tokens").Int(int64_t{usage.prompt_tokens} + usage.completion_tokens);
  json.Key("prompt_tokens_details").BeginObject();
  json.Key("cached_tokens").Int(usage.cached_tokens).EndObject();
  json.Key("completion_tokens_details").BeginObject();
  json.Key("reasoning_tokens").Int(usage.reasoning_tokens).EndObject();
  json.EndObject();
}

void WriteEnd(const ChoiceDelta& delta, JsonWriter& json) {
  json.Key("finish_reason").StringOrNull(ChoiceEndName(delta.end));
  if (delta.end == ChoiceEnd::kNone) return;
  json.Key("stop_reason");
  if (const auto* text = std::get_if<std::string>(&delta.stop_reason)) {
    json.String(*text);
  } else if (const auto* id = std::get_if<int32_t>(&delta.stop_reason)) {
    json.Int(*id);
  } else {
    json.Null();
  }
}

std::string UsageChunk(const ResponseHeader& header, std::string_view object,
                       const ResponseUsage& usage) {
  JsonWriter json;
  json.BeginObject();
  WriteHeader(header, object, json);
  json.Key("choices").BeginArray().EndArray();
  json.Key("usage");
  WriteUsage(usage, json);
  json.EndObject();
  return json.Take();
}

ResponseUsage UsageSoFar(const ChoiceDelta& delta, int prompt_tokens) {
  ResponseUsage usage;
  usage.prompt_tokens = prompt_tokens;
  usage.completion_tokens = delta.completion_tokens;
  usage.reasoning_tokens = delta.reasoning_tokens;
  return usage;
}

void WriteChatLogprobs(const std::vector<LogprobEntry>& entries, JsonWriter& json) {
  json.BeginObject().Key("content").BeginArray();
  for (const LogprobEntry& entry : entries) {
    json.BeginObject();
    json.Key("token").String(ChatToken(entry.token));
    json.Key("logprob");
    WriteLogprob(entry, json);
    json.Key("bytes");
    WriteBytes(entry.output_bytes, json);
    json.Key("top_logprobs").BeginArray();
    for (const LogprobEntry::Alternative& top : entry.top) {
      json.BeginObject();
      json.Key("token").String(ChatToken(top.token));
      json.Key("logprob").Float(top.logprob);
      json.Key("bytes");
      WriteBytes(top.token, json);
      json.EndObject();
    }
    json.EndArray().EndObject();
  }
  json.EndArray().Key("refusal").Null().EndObject();
}

void WritePromptLogprobs(const std::vector<LogprobEntry>& entries, JsonWriter& json) {
  json.BeginArray();
  for (const LogprobEntry& entry : entries) {
    if (!entry.logprob) {
      json.Null();
      continue;
    }
    json.BeginObject();
    const auto write = [&](int32_t id, std::string_view token, float logprob,
                           std::optional<size_t> rank) {
      json.Key(std::to_string(id)).BeginObject();
      json.Key("logprob").Float(logprob);
      json.Key("rank");
      if (rank) {
        json.Int(static_cast<int64_t>(*rank));
      } else {
        json.Null();
      }
      json.Key("decoded_token").String(ChatToken(token));
      json.EndObject();
    };
    bool listed = false;
    for (size_t i = 0; i < entry.top.size(); ++i) {
      write(entry.top[i].id, entry.top[i].token, entry.top[i].logprob, i + 1);
      listed |= entry.top[i].id == entry.id;
    }
    // Of an id behind the most likely ones the rank is not known.
    if (!listed) write(entry.id, entry.token, *entry.logprob, std::nullopt);
    json.EndObject();
  }
  json.EndArray();
}

void WriteCompletionLogprobs(const std::vector<LogprobEntry>& entries, int64_t& offset,
                             JsonWriter& json) {
  json.BeginObject().Key("text_offset").BeginArray();
  for (const LogprobEntry& entry : entries) {
    json.Int(offset);
    offset += CharactersIn(entry.output_bytes);
  }
  json.EndArray().Key("token_logprobs").BeginArray();
  for (const LogprobEntry& entry : entries) WriteLogprob(entry, json);
  json.EndArray().Key("tokens").BeginArray();
  for (const LogprobEntry& entry : entries) json.String(CompletionToken(entry.token));
  json.EndArray().Key("top_logprobs").BeginArray();
  for (const LogprobEntry& entry : entries) WriteTopObject(entry, json);
  json.EndArray().EndObject();
}

}  // namespace sluice::gateway
