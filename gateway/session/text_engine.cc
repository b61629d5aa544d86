// SPDX-License-Identifier: Apache-2.0
#include "gateway/session/text_engine.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gateway/chat/message_normalizer.h"
#include "gateway/chat/reasoning_parser.h"
#include "gateway/openai/error.h"
#include "gateway/session/choice_stream.h"
#include "gateway/session/random_ids.h"
#include "gateway/session/running_session.h"
#include "gateway/session/sampling_merge.h"
#include "proto/wire/status_macros.h"

namespace sluice::gateway {
namespace {

// A prompt needs room for at least one id of output.
absl::Status CheckPromptLength(size_t prompt_tokens, int max_model_len, std::string_view param) {
  if (prompt_tokens == 0) return FieldError(param, "is empty: there is nothing to continue");
  if (prompt_tokens < static_cast<size_t>(max_model_len)) return absl::OkStatus();
  return WithErrorCode(
      FieldError(param, absl::StrCat("make a prompt of ", prompt_tokens,
                                     " tokens; this model's context holds ", max_model_len,
                                     ", at least one of them for the answer; shorten the prompt")),
      "context_length_exceeded");
}

GenerateRequest MakeRequest(std::vector<TokenId> prompt_ids, const GenerationOptions& options,
                            SamplingParams sampling, const RequestContext& context) {
  GenerateRequest request;
  request.request_id = context.request_id;
  request.prompt_ids = std::move(prompt_ids);
  request.n = options.n;
  request.sampling = std::move(sampling);
  request.priority = options.priority;
  request.cache_salt = options.cache_salt;
  request.deadline = context.deadline;
  request.traceparent = context.traceparent;
  return request;
}

ChoiceStreamOptions MakeChoiceOptions(const Tokenizer& tokenizer, const GenerationOptions& options,
                                      int min_tokens) {
  ChoiceStreamOptions choice;
  choice.tokenizer = &tokenizer;
  choice.stop = options.stop;
  choice.include_stop = options.include_stop_str_in_output;
  choice.min_tokens = min_tokens;
  choice.skip_special_tokens = options.skip_special_tokens;
  choice.logprobs = options.logprobs.has_value();
  choice.discard_output = options.max_tokens == 0;
  choice.stop_token_ids = options.stop_token_ids;
  return choice;
}

PromptEchoOptions MakeEchoOptions(const GenerationOptions& options) {
  return {.echo = options.echo,
          .echo_logprobs = options.logprobs,
          .prompt_logprobs = options.prompt_logprobs};
}

// What one answer may list of its prompts, which every choice repeats: some 60 bytes each, here and
// in JSON, made from a request of any size by one pass over its prompt.
constexpr int64_t kMaxPromptScores = 4'000'000;

absl::Status CheckPromptScores(const std::vector<GenerateRequest>& requests,
                               const GenerationOptions& options) {
  const std::optional<int> top_k = MakeEchoOptions(options).top_k();
  if (!top_k) return absl::OkStatus();
  int64_t num_scores = 0;
  for (const GenerateRequest& request : requests) {
    num_scores += static_cast<int64_t>(request.prompt_ids.size()) * request.n * (1 + *top_k);
  }
  if (num_scores <= kMaxPromptScores) return absl::OkStatus();
  return FieldError(
      options.prompt_logprobs ? "prompt_logprobs" : "logprobs",
      absl::StrCat("would make an answer of ", num_scores, " log probabilities of the prompt, the ",
                   "most likely ones and every choice's counted; at most ", kMaxPromptScores,
                   " are allowed; ask for fewer"));
}

// Starts the calls of a request that is checked.
std::shared_ptr<Session> StartSession(std::vector<GenerateRequest> requests,
                                      std::vector<ChoiceStreamOptions> choices,
                                      const GenerationOptions& options,
                                      const TextEngineOptions& engine,
                                      std::shared_ptr<DeltaSink> sink) {
  auto session =
      std::make_shared<RunningSession>(std::move(requests), std::move(choices), std::move(sink));
  const PromptEchoOptions echo = MakeEchoOptions(options);
  if (echo.wanted()) session->EchoPrompts(*engine.tokenizer, echo);
  session->Start(*engine.worker);
  return session;
}

}  // namespace

TextEngine::TextEngine(TextEngineOptions options)
    : options_(std::move(options)), control_tokens_(ControlTokens::Find(*options_.tokenizer)) {}

absl::Status TextEngine::CheckModel(const std::string& model) const {
  const auto& names = options_.served_model_names;
  if (model.empty() || std::find(names.begin(), names.end(), model) != names.end()) {
    return absl::OkStatus();
  }
  constexpr size_t kMaxShownBytes = 100;
  const std::string shown = model.size() > kMaxShownBytes ? "that name" : "\"" + model + "\"";
  return WithErrorCode(
      WithParam(absl::NotFoundError(absl::StrCat("model ", shown, " is not served here; use \"",
                                                 names.front(), "\"")),
                "model"),
      "model_not_found");
}

absl::StatusOr<std::vector<TokenId>> TextEngine::EncodeConversation(
    const ConversationOptions& conversation) const {
  absl::StatusOr<std::string> messages = NormalizeMessages(conversation.messages_json);
  if (!messages.ok()) return WithParam(messages.status(), "messages");
  RenderInput input;
  input.messages_json = *std::move(messages);
  input.tools_json = conversation.tools_json;
  input.kwargs_json = conversation.template_kwargs_json;
  input.add_generation_prompt = conversation.add_generation_prompt;
  input.continue_final_message = conversation.continue_final_message;
  absl::StatusOr<RenderedPrompt> prompt = options_.chat_template->Render(input);
  if (!prompt.ok()) return WithParam(prompt.status(), "messages");
  std::vector<ByteRange> plain;
  if (!options_.trust_user_control_tokens) {
    plain.reserve(prompt->user_ranges.size());
    for (const RenderedPrompt::Range& range : prompt->user_ranges) {
      plain.push_back({range.begin, range.end});
    }
  }
  auto ids = options_.tokenizer->Encode(prompt->text, plain);
  if (!ids.ok()) return WithParam(ids.status(), "messages");
  return ids;
}

absl::StatusOr<std::shared_ptr<Session>> TextEngine::StartChat(
    const ChatRequest& request, const RequestContext& context,
    std::shared_ptr<DeltaSink> sink) const {
  SLUICE_RETURN_IF_ERROR(CheckModel(request.model));
  SLUICE_ASSIGN_OR_RETURN(const ModelInfo model, options_.worker->GetModelInfo());
  SLUICE_ASSIGN_OR_RETURN(std::vector<TokenId> ids, EncodeConversation(request.conversation));
  SLUICE_RETURN_IF_ERROR(CheckPromptLength(ids.size(), model.max_model_len, "messages"));
  const PromptThinking thinking =
      FindPromptThinking(ids, control_tokens_.think_open, control_tokens_.think_close,
                         [this](int32_t id) { return options_.tokenizer->IsSpecial(id); });
  SLUICE_ASSIGN_OR_RETURN(
      SamplingParams sampling,
      MergeSampling(request.generation, model, options_.sampling_defaults,
                    thinking.state != Thinking::kClosed, static_cast<int>(ids.size())));
  ChoiceStreamOptions choice =
      MakeChoiceOptions(*options_.tokenizer, request.generation, sampling.min_tokens);
  choice.control = control_tokens_;
  choice.parser.prompt = thinking;
  choice.parser.separate_reasoning = request.separate_reasoning;
  choice.parser.parse_tool_calls = request.parse_tool_calls;
  choice.parallel_tool_calls = request.parallel_tool_calls;
  choice.call_id_seed = RandomSeed();
  std::vector<GenerateRequest> requests;
  requests.push_back(MakeRequest(std::move(ids), request.generation, std::move(sampling), context));
  SLUICE_RETURN_IF_ERROR(CheckPromptScores(requests, request.generation));
  return StartSession(std::move(requests), {choice}, request.generation, options_, std::move(sink));
}

absl::StatusOr<std::shared_ptr<Session>> TextEngine::StartCompletion(
    const CompletionRequest& request, const RequestContext& context,
    std::shared_ptr<DeltaSink> sink) const {
  SLUICE_RETURN_IF_ERROR(CheckModel(request.model));
  SLUICE_ASSIGN_OR_RETURN(const ModelInfo model, options_.worker->GetModelInfo());
  std::vector<GenerateRequest> requests;
  std::vector<ChoiceStreamOptions> choices;
  for (size_t i = 0; i < request.prompts.size(); ++i) {
    const bool alone = request.prompts.size() == 1;
    const std::string param = alone ? "prompt" : absl::StrCat("prompt[", i, "]");
    std::vector<TokenId> ids;
    if (const auto* text = std::get_if<std::string>(&request.prompts[i])) {
      auto encoded = options_.tokenizer->Encode(*text);
      if (!encoded.ok()) return WithParam(encoded.status(), param);
      ids = *std::move(encoded);
    } else {
      ids = std::get<std::vector<int32_t>>(request.prompts[i]);
      SLUICE_RETURN_IF_ERROR(CheckIds(ids, model.vocab_size, param));
    }
    SLUICE_RETURN_IF_ERROR(CheckPromptLength(ids.size(), model.max_model_len, param));
    SLUICE_ASSIGN_OR_RETURN(SamplingParams sampling,
                            MergeSampling(request.generation, model, SamplingDefaults::kModel,
                                          /*thinking=*/false, static_cast<int>(ids.size())));
    ChoiceStreamOptions choice =
        MakeChoiceOptions(*options_.tokenizer, request.generation, sampling.min_tokens);
    // A raw prompt is its caller's own template: nothing in the output is taken apart.
    choice.parser.prompt.state = Thinking::kClosed;
    choice.parser.separate_reasoning = false;
    choices.push_back(std::move(choice));
    requests.push_back(
        MakeRequest(std::move(ids), request.generation, std::move(sampling), context));
    if (!alone) absl::StrAppend(&requests.back().request_id, "-", i);
  }
  SLUICE_RETURN_IF_ERROR(CheckPromptScores(requests, request.generation));
  return StartSession(std::move(requests), std::move(choices), request.generation, options_,
                      std::move(sink));
}

absl::StatusOr<TokenizeResult> TextEngine::Tokenize(const TokenizeRequest& request) const {
  SLUICE_RETURN_IF_ERROR(CheckModel(request.model));
  SLUICE_ASSIGN_OR_RETURN(const ModelInfo model, options_.worker->GetModelInfo());
  TokenizeResult result;
  result.max_model_len = model.max_model_len;
  if (const auto* text = std::get_if<std::string>(&request.input)) {
    auto ids = options_.tokenizer->Encode(*text);
    if (!ids.ok()) return WithParam(ids.status(), "prompt");
    result.tokens = *std::move(ids);
  } else {
    SLUICE_ASSIGN_OR_RETURN(result.tokens,
                            EncodeConversation(std::get<ConversationOptions>(request.input)));
  }
  if (request.return_token_strs) {
    result.token_strs.emplace();
    for (const TokenId id : result.tokens) {
      result.token_strs->push_back(options_.tokenizer->TokenString(id).value_or(""));
    }
  }
  return result;
}

absl::StatusOr<std::string> TextEngine::Detokenize(const DetokenizeRequest& request) const {
  SLUICE_RETURN_IF_ERROR(CheckModel(request.model));
  SLUICE_RETURN_IF_ERROR(CheckIds(request.tokens, options_.tokenizer->vocab_size(), "tokens"));
  return options_.tokenizer->Decode(request.tokens, /*skip_special_tokens=*/false);
}

}  // namespace sluice::gateway
