// SPDX-License-Identifier: Apache-2.0
#include "gateway/chat/chat_template.h"

#include <ctime>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <sstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gateway/chat/final_message.h"
#include "gateway/chat/jinja/json.h"
#include "gateway/chat/jinja/template.h"
#include "gateway/chat/jinja/value.h"
#include "proto/wire/status_macros.h"

namespace sluice::gateway {
namespace {

namespace fs = std::filesystem;
using jinja::Kind;
using jinja::Origin;
using jinja::Value;

constexpr const char* kDefaultName = "default";
constexpr const char* kToolUseName = "tool_use";

struct NamedTemplate {
  std::string source;
  std::unique_ptr<const jinja::Template> compiled;
};

absl::StatusOr<std::string> ReadFile(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream bytes;
  if (file) bytes << file.rdbuf();
  if (!file) return absl::NotFoundError(absl::StrCat(path.string(), " cannot be read"));
  return bytes.str();
}

absl::Status WithField(const char* field, const absl::Status& status) {
  return absl::Status(status.code(), absl::StrCat(field, ": ", status.message()));
}

absl::StatusOr<Value> ParseField(const char* field, const std::string& json, Kind kind,
                                 const char* expected) {
  absl::StatusOr<Value> value = jinja::ParseJson(json, Origin::kUser);
  if (!value.ok()) return WithField(field, value.status());
  if (!value->is(kind))
    return absl::InvalidArgumentError(absl::StrCat(field, ": expected ", expected));
  return value;
}

// A special token of tokenizer_config.json: its text, or an object that holds it. Missing where
// there is none.
Value SpecialToken(const Value& config, const char* name) {
  const Value* token = config.dict().Find(name);
  if (token != nullptr && token->is(Kind::kDict)) token = token->dict().Find("content");
  return token != nullptr && token->is_string() ? *token : Value();
}

}  // namespace

struct ChatTemplate::Impl {
  std::map<std::string, NamedTemplate> templates;
  jinja::Variables special_tokens;

  absl::Status Add(const std::string& name, std::string source) {
    absl::StatusOr<std::unique_ptr<const jinja::Template>> compiled =
        jinja::Template::Compile(source);
    if (!compiled.ok()) return compiled.status();
    templates[name] = {std::move(source), *std::move(compiled)};
    return absl::OkStatus();
  }

  // As Transformers chooses: tool_use where there are tools and such a template.
  absl::StatusOr<const NamedTemplate*> Choose(bool has_tools) const {
    const auto tool_use = templates.find(kToolUseName);
    if (has_tools && tool_use != templates.end()) return &tool_use->second;
    const auto it = templates.find(kDefaultName);
    if (it != templates.end()) return &it->second;
    return absl::InvalidArgumentError(
        "the model has no chat template named default; send tools, or a prompt to /v1/completions");
  }

  absl::Status AddFromFiles(const fs::path& dir);
  absl::Status AddFromConfig(const Value& config, const std::string& path);
};

absl::Status ChatTemplate::Impl::AddFromFiles(const fs::path& dir) {
  std::map<std::string, fs::path> files;
  std::error_code ignored;
  const fs::path main = dir / "chat_template.jinja";
  if (fs::exists(main, ignored)) files[kDefaultName] = main;
  for (const auto& entry : fs::directory_iterator(dir / "additional_chat_templates", ignored)) {
    if (entry.path().extension() == ".jinja") files[entry.path().stem().string()] = entry.path();
  }
  for (const auto& [name, path] : files) {
    SLUICE_ASSIGN_OR_RETURN(std::string source, ReadFile(path));
    const absl::Status status = Add(name, std::move(source));
    if (!status.ok()) return WithField(path.c_str(), status);
  }
  return absl::OkStatus();
}

absl::Status ChatTemplate::Impl::AddFromConfig(const Value& config, const std::string& path) {
  const Value* field = config.dict().Find("chat_template");
  if (field == nullptr || field->is_none()) return absl::OkStatus();
  const std::string where = path + ": chat_template";
  if (field->is_string()) {
    const absl::Status status = Add(kDefaultName, field->str().text.bytes());
    return status.ok() ? status : WithField(where.c_str(), status);
  }
  if (!field->is(Kind::kList)) {
    return absl::InvalidArgumentError(
        absl::StrCat(where, ": expected text or a list of templates"));
  }
  for (const Value& entry : field->list().items) {
    const Value* name = entry.is(Kind::kDict) ? entry.dict().Find("name") : nullptr;
    const Value* source = entry.is(Kind::kDict) ? entry.dict().Find("template") : nullptr;
    if (name == nullptr || source == nullptr || !name->is_string() || !source->is_string()) {
      return absl::InvalidArgumentError(
          absl::StrCat(where, ": expected objects with a name and a template"));
    }
    const absl::Status status = Add(name->str().text.bytes(), source->str().text.bytes());
    if (!status.ok()) return WithField((where + " " + name->str().text.bytes()).c_str(), status);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<const ChatTemplate>> ChatTemplate::Load(
    const std::string& model_dir) {
  auto impl = std::make_unique<Impl>();
  SLUICE_RETURN_IF_ERROR(impl->AddFromFiles(model_dir));
  const fs::path config_path = fs::path(model_dir) / "tokenizer_config.json";
  absl::StatusOr<std::string> json = ReadFile(config_path);
  if (json.ok()) {
    // The folder's own tokens are as trusted as its template.
    absl::StatusOr<Value> config = jinja::ParseJson(*json, Origin::kTemplate);
    if (!config.ok()) return WithField(config_path.c_str(), config.status());
    if (!config->is(Kind::kDict)) {
      return absl::InvalidArgumentError(absl::StrCat(config_path.string(), ": expected an object"));
    }
    if (impl->templates.empty()) {
      SLUICE_RETURN_IF_ERROR(impl->AddFromConfig(*config, config_path.string()));
    }
    for (const char* name : {"bos_token", "eos_token", "unk_token", "sep_token", "pad_token",
                             "cls_token", "mask_token"}) {
      Value token = SpecialToken(*config, name);
      if (!token.is_missing()) impl->special_tokens.emplace_back(name, std::move(token));
    }
  }
  if (impl->templates.empty()) {
    return absl::NotFoundError(
        absl::StrCat(model_dir,
                     " has no chat template: neither chat_template.jinja nor "
                     "chat_template in tokenizer_config.json"));
  }
  return std::unique_ptr<const ChatTemplate>(new ChatTemplate(std::move(impl)));
}

absl::StatusOr<std::unique_ptr<const ChatTemplate>> ChatTemplate::Compile(std::string_view source) {
  auto impl = std::make_unique<Impl>();
  SLUICE_RETURN_IF_ERROR(impl->Add(kDefaultName, std::string(source)));
  return std::unique_ptr<const ChatTemplate>(new ChatTemplate(std::move(impl)));
}

ChatTemplate::ChatTemplate(std::unique_ptr<const Impl> impl) : impl_(std::move(impl)) {}
ChatTemplate::~ChatTemplate() = default;

absl::StatusOr<RenderedPrompt> ChatTemplate::Render(const RenderInput& input) const {
  SLUICE_ASSIGN_OR_RETURN(Value messages,
                          ParseField("messages", input.messages_json, Kind::kList, "an array"));
  Value tools = Value::None();
  if (!input.tools_json.empty()) {
    SLUICE_ASSIGN_OR_RETURN(tools, ParseField("tools", input.tools_json, Kind::kList, "an array"));
  }
  SLUICE_ASSIGN_OR_RETURN(const NamedTemplate* chosen, impl_->Choose(!tools.is_none()));

  std::optional<FinalMessage> final_message;
  if (input.continue_final_message) {
    if (input.add_generation_prompt) {
      return absl::InvalidArgumentError(
          "continue_final_message and add_generation_prompt exclude each other");
    }
    SLUICE_ASSIGN_OR_RETURN(final_message, FinalMessage::Mark(chosen->source, &messages));
  }

  jinja::Variables variables = impl_->special_tokens;
  variables.emplace_back("documents", Value::None());
  if (!input.kwargs_json.empty()) {
    SLUICE_ASSIGN_OR_RETURN(
        const Value kwargs,
        ParseField("chat_template_kwargs", input.kwargs_json, Kind::kDict, "an object"));
    for (const auto& [name, value] : kwargs.dict().entries) {
      const std::string& text = name.str().text.bytes();
      if (text == "messages" || text == "tools" || text == "add_generation_prompt") {
        return absl::InvalidArgumentError(absl::StrCat(
            "chat_template_kwargs: ", text, " is a field of the request and not an argument"));
      }
      variables.emplace_back(text, value);
    }
  }
  variables.emplace_back("messages", std::move(messages));
  variables.emplace_back("tools", std::move(tools));
  variables.emplace_back("add_generation_prompt", Value::Bool(input.add_generation_prompt));

  SLUICE_ASSIGN_OR_RETURN(jinja::Text text,
                          chosen->compiled->Render(variables, {}, std::time(nullptr)));
  if (final_message) {
    SLUICE_ASSIGN_OR_RETURN(text, final_message->Cut(text));
  }
  RenderedPrompt prompt;
  prompt.user_ranges.reserve(text.user_spans().size());
  for (const jinja::Text::Span& span : text.user_spans()) {
    prompt.user_ranges.push_back({span.begin, span.end});
  }
  prompt.text = std::move(text).TakeBytes();
  return prompt;
}

}  // namespace sluice::gateway
