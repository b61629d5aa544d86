// SPDX-License-Identifier: Apache-2.0
#include "gateway/cli/bench/prompt_file.h"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "proto/wire/status_macros.h"

namespace sluice::gateway {
namespace {

using Json = nlohmann::ordered_json;

std::string TextAt(const Json& object, const char* key) {
  if (!object.is_object() || !object.contains(key) || !object[key].is_string()) return {};
  return object[key].get<std::string>();
}

absl::StatusOr<std::vector<LoadMessage>> ReadMessages(const Json& list) {
  std::vector<LoadMessage> messages;
  for (const Json& entry : list) {
    LoadMessage message{TextAt(entry, "role"), TextAt(entry, "content")};
    if (message.role.empty()) return absl::InvalidArgumentError("a message has no role");
    if (!entry.contains("content") || !entry["content"].is_string()) {
      return absl::InvalidArgumentError("a message's content is no text");
    }
    messages.push_back(std::move(message));
  }
  if (messages.empty()) return absl::InvalidArgumentError("messages is empty");
  return messages;
}

// The first thing that the human said; empty when there is none.
std::string FirstQuestion(const Json& conversation) {
  for (const Json& turn : conversation) {
    const std::string from = TextAt(turn, "from");
    if (from == "human" || from == "user") return TextAt(turn, "value");
  }
  return {};
}

absl::StatusOr<LoadRequest> ReadEntry(const Json& entry) {
  LoadRequest request;
  request.max_tokens = 0;
  if (!entry.is_object()) return absl::InvalidArgumentError("it is no JSON object");
  if (entry.contains("max_tokens")) {
    const Json& most = entry["max_tokens"];
    if (!most.is_number_integer() || most.get<int64_t>() < 1 || most.get<int64_t>() > 10'000'000) {
      return absl::InvalidArgumentError("max_tokens must be a whole number from 1");
    }
    request.max_tokens = most.get<int>();
  }
  if (entry.contains("messages") && entry["messages"].is_array()) {
    SLUICE_ASSIGN_OR_RETURN(request.messages, ReadMessages(entry["messages"]));
  } else if (entry.contains("conversations") && entry["conversations"].is_array()) {
    request.prompt = FirstQuestion(entry["conversations"]);
  } else {
    request.prompt = TextAt(entry, "prompt");
    if (request.prompt.empty()) {
      return absl::InvalidArgumentError("it has neither prompt nor messages nor conversations");
    }
  }
  return request;
}

}  // namespace

absl::StatusOr<std::vector<LoadRequest>> ParsePrompts(std::string_view text) {
  std::vector<LoadRequest> requests;
  const auto add = [&requests](const Json& entry, const char* unit, size_t number) {
    absl::StatusOr<LoadRequest> request =
        entry.is_discarded() ? absl::InvalidArgumentError("it is no JSON") : ReadEntry(entry);
    if (!request.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat(unit, " ", number, ": ", request.status().message()));
    }
    if (!request->prompt.empty() || !request->messages.empty()) {
      requests.push_back(*std::move(request));
    }
    return absl::OkStatus();
  };
  const size_t start = text.find_first_not_of(" \t\r\n");
  if (start != std::string_view::npos && text[start] == '[') {
    const Json list = Json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
    if (list.is_discarded()) return absl::InvalidArgumentError("it is no JSON");
    for (size_t i = 0; i < list.size(); ++i) SLUICE_RETURN_IF_ERROR(add(list[i], "entry", i + 1));
  } else {
    for (size_t number = 1; !text.empty(); ++number) {
      const size_t end = std::min(text.find('\n'), text.size());
      const std::string_view line = text.substr(0, end);
      text.remove_prefix(std::min(end + 1, text.size()));
      if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
      const Json entry = Json::parse(line.begin(), line.end(), nullptr, /*allow_exceptions=*/false);
      SLUICE_RETURN_IF_ERROR(add(entry, "line", number));
    }
  }
  if (requests.empty()) return absl::InvalidArgumentError("it holds no prompts");
  return requests;
}

absl::StatusOr<std::vector<LoadRequest>> ReadPromptFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  if (!file) return absl::InvalidArgumentError(absl::StrCat("--prompts ", path, " cannot be read"));
  auto requests = ParsePrompts(text);
  if (requests.ok()) return requests;
  return absl::InvalidArgumentError(
      absl::StrCat("--prompts ", path, ": ", requests.status().message()));
}

}  // namespace sluice::gateway
