// SPDX-License-Identifier: Apache-2.0
#include "gateway/openai/generation_fields.h"

#include <charconv>
#include <cmath>
#include <cstdint>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gateway/openai/error.h"
#include "proto/wire/status_macros.h"

namespace sluice::gateway {
namespace {

constexpr int64_t kMaxInt = std::numeric_limits<int32_t>::max();
constexpr char kLeaveOut[] = "leave it out";

absl::Status CheckRange(std::string_view name, const std::optional<float>& value, float low,
                        float high) {
  if (!value || (*value >= low && *value <= high)) return absl::OkStatus();  // NaN fails both
  return FieldError(name, absl::StrCat("must be from ", low, " to ", high, "; got ", *value));
}

absl::Status CheckWhole(std::string_view name, int value, int low, int high) {
  if (value >= low && value <= high) return absl::OkStatus();
  return FieldError(name, absl::StrCat("must be from ", low, " to ", high, "; got ", value));
}

void ReadStop(FieldReader& fields, GenerationOptions& options) {
  const std::optional<JsonValue> stop = fields.Any("stop");
  if (!stop) return;
  if (stop->is(JsonType::kString)) {
    options.stop.push_back(stop->AsString());
    return;
  }
  if (!stop->is(JsonType::kArray)) {
    return fields.FailField("stop", absl::StrCat("must be a string or an array of strings; got ",
                                                 JsonTypeName(stop->type())));
  }
  const std::vector<JsonValue> elements = stop->Elements();
  for (size_t i = 0; i < elements.size(); ++i) {
    if (!elements[i].is(JsonType::kString)) {
      return fields.FailField(
          absl::StrCat("stop[", i, "]"),
          absl::StrCat("must be a string; got ", JsonTypeName(elements[i].type())));
    }
    options.stop.push_back(elements[i].AsString());
  }
}

void ReadLogitBias(FieldReader& fields, GenerationOptions& options) {
  const std::optional<JsonValue> bias = fields.Typed("logit_bias", JsonType::kObject);
  if (!bias) return;
  for (auto& [key, value] : bias->Members()) {
    const std::string name = absl::StrCat("logit_bias[", key.substr(0, 20), "]");
    int32_t id = 0;
    const auto result = std::from_chars(key.data(), key.data() + key.size(), id);
    // One spelling for each id, or two keys could name the same one.
    if (result.ec != std::errc() || absl::StrCat(id) != key || id < 0) {
      return fields.FailField(name, "must be a token id in decimal");
    }
    const std::optional<double> number =
        value.is(JsonType::kNumber) ? value.AsDouble() : std::nullopt;
    if (!number || std::fabs(*number) > 100.0) {
      return fields.FailField(name, "must be a number from -100 to 100");
    }
    options.logit_bias.emplace_back(id, static_cast<float>(*number));
  }
}

void ReadLimits(FieldReader& fields, GenerationOptions& options) {
  options.n = fields.Int("n", 1, kMaxChoices).value_or(1);
  // vLLM's rule: the newer name wins.
  const std::optional<int> older = fields.Int("max_tokens", 0, kMaxInt);
  const std::optional<int> newer = fields.Int("max_completion_tokens", 0, kMaxInt);
  options.max_tokens = newer ? newer : older;
  options.prompt_logprobs = fields.Int("prompt_logprobs", 0, kMaxTopLogprobs);
  options.min_tokens = fields.Int("min_tokens", 0, kMaxInt).value_or(0);
  options.ignore_eos = fields.Bool("ignore_eos").value_or(false);
  // vLLM runs smaller values first, the worker larger ones.
  options.priority = -fields.Int("priority", -kMaxInt, kMaxInt).value_or(0);
  if (const auto salt = fields.String("cache_salt")) {
    options.cache_salt = *salt;
    if (salt->empty()) fields.FailField("cache_salt", "must not be empty; leave it out instead");
  }
}

void ReadAllowedTokenIds(FieldReader& fields, GenerationOptions& options) {
  const std::optional<std::vector<int32_t>> ids = fields.Ids("allowed_token_ids");
  if (!ids) return;
  options.allowed_token_ids = *ids;
  // Empty means all from here on, which is not what was asked for.
  if (ids->empty()) fields.FailField("allowed_token_ids", "must have at least one token id");
}

void RefuseBestOf(FieldReader& fields, const GenerationOptions& options) {
  const std::optional<int> best_of = fields.Int("best_of", 0, kMaxChoices);
  if (best_of && *best_of != options.n) {
    fields.FailField("best_of", "other than n is not supported; leave it out");
  }
}

// Samplers of other servers. Clients send them always, mostly at the value that turns them off.
void RefuseOtherSamplers(FieldReader& fields) {
  constexpr std::pair<const char*, float> kOff[] = {{"typical_p", 1.0f},
                                                    {"xtc_probability", 0.0f},
                                                    {"mirostat", 0.0f},
                                                    {"mirostat_mode", 0.0f},
                                                    {"dry_multiplier", 0.0f}};
  for (const auto& [name, off] : kOff) {
    const std::optional<float> value = fields.Float(name);
    if (value && *value != off) {
      fields.FailField(name, absl::StrCat("other than ", off, " is not supported; leave it out"));
    }
  }
}

}  // namespace

absl::Status CheckGenerationOptions(const GenerationOptions& options) {
  SLUICE_RETURN_IF_ERROR(CheckRange("temperature", options.temperature, 0.0f, 100.0f));
  SLUICE_RETURN_IF_ERROR(CheckRange("top_p", options.top_p, 0.0f, 1.0f));
  if (options.top_p && *options.top_p == 0.0f) {
    return FieldError("top_p", "must be greater than 0; use temperature 0 for greedy decoding");
  }
  SLUICE_RETURN_IF_ERROR(CheckWhole("top_k", options.top_k.value_or(0), -1, kMaxInt));
  SLUICE_RETURN_IF_ERROR(CheckRange("min_p", options.min_p, 0.0f, 1.0f));
  SLUICE_RETURN_IF_ERROR(CheckRange("presence_penalty", options.presence_penalty, -2.0f, 2.0f));
  SLUICE_RETURN_IF_ERROR(CheckRange("frequency_penalty", options.frequency_penalty, -2.0f, 2.0f));
  SLUICE_RETURN_IF_ERROR(
      CheckRange("repetition_penalty", options.repetition_penalty, 0.01f, 100.0f));
  for (const auto& [id, bias] : options.logit_bias) {
    SLUICE_RETURN_IF_ERROR(CheckRange(absl::StrCat("logit_bias[", id, "]"), bias, -100.0f, 100.0f));
  }
  SLUICE_RETURN_IF_ERROR(CheckWhole("n", options.n, 1, kMaxChoices));
  const bool scores = options.echo || options.prompt_logprobs.has_value();
  SLUICE_RETURN_IF_ERROR(
      CheckWhole("max_tokens", options.max_tokens.value_or(1), scores ? 0 : 1, kMaxInt));
  SLUICE_RETURN_IF_ERROR(CheckWhole("min_tokens", options.min_tokens, 0, kMaxInt));
  if (options.max_tokens && options.min_tokens > *options.max_tokens) {
    return FieldError("min_tokens", absl::StrCat("(", options.min_tokens,
                                                 ") must not be larger than max_tokens (",
                                                 *options.max_tokens, ")"));
  }
  SLUICE_RETURN_IF_ERROR(
      CheckWhole("top_logprobs", options.logprobs.value_or(0), 0, kMaxTopLogprobs));
  SLUICE_RETURN_IF_ERROR(
      CheckWhole("prompt_logprobs", options.prompt_logprobs.value_or(0), 0, kMaxTopLogprobs));
  if (options.stop.size() > kMaxStopStrings) {
    return FieldError("stop", absl::StrCat("has ", options.stop.size(), " strings; at most ",
                                           kMaxStopStrings, " are allowed"));
  }
  for (size_t i = 0; i < options.stop.size(); ++i) {
    const size_t size = options.stop[i].size();
    if (size == 0 || size > kMaxStopStringBytes) {
      return FieldError(
          absl::StrCat("stop[", i, "]"),
          absl::StrCat("must have 1 to ", kMaxStopStringBytes, " bytes; it has ", size));
    }
  }
  return absl::OkStatus();
}

void ReadGenerationOptions(FieldReader& fields, GenerationOptions& options) {
  options.temperature = fields.Float("temperature");
  options.top_p = fields.Float("top_p");
  options.top_k = fields.Int("top_k", -1, kMaxInt);
  options.min_p = fields.Float("min_p");
  options.presence_penalty = fields.Float("presence_penalty");
  options.frequency_penalty = fields.Float("frequency_penalty");
  options.repetition_penalty = fields.Float("repetition_penalty");
  options.seed = fields.Seed("seed");
  ReadLimits(fields, options);
  ReadLogitBias(fields, options);
  ReadAllowedTokenIds(fields, options);
  ReadStop(fields, options);
  options.stop_token_ids = fields.Ids("stop_token_ids").value_or(std::vector<int32_t>());
  options.include_stop_str_in_output = fields.Bool("include_stop_str_in_output").value_or(false);
  options.skip_special_tokens = fields.Bool("skip_special_tokens").value_or(true);
  RefuseBestOf(fields, options);
  RefuseOtherSamplers(fields);
  if (fields.ok()) fields.Fail(CheckGenerationOptions(options));
}

void ReadStreamOptions(FieldReader& fields, const GenerationOptions& generation,
                       StreamOptions& options) {
  options.stream = fields.Bool("stream").value_or(false);
  if (options.stream && generation.prompt_logprobs) {
    fields.FailField("prompt_logprobs", "is not available with stream: true");
  }
  const std::optional<JsonValue> value = fields.Typed("stream_options", JsonType::kObject);
  if (!value) return;
  if (!options.stream) {
    return fields.FailField("stream_options", "can only be set together with stream: true");
  }
  FieldReader inner(*value, "stream_options.");
  options.include_usage = inner.Bool("include_usage").value_or(false);
  // Usage in every chunk is of no use to a client that does not want any.
  options.continuous_usage =
      inner.Bool("continuous_usage_stats").value_or(false) && options.include_usage;
  fields.Fail(inner.status());
}

void RefuseUnsupportedFields(FieldReader& fields) {
  if (const auto format = fields.Typed("response_format", JsonType::kObject)) {
    FieldReader inner(*format, "response_format.");
    const std::optional<std::string> type = inner.String("type");
    fields.Fail(inner.status());
    if (!type || *type != "text") {
      fields.FailField("response_format",
                       "other than {\"type\": \"text\"} is not supported yet; leave it out");
    }
  }
  fields.Refuse({"structured_outputs", "guided_regex", "guided_choice", "guided_grammar",
                 "guided_whitespace_pattern", "structural_tag", "regex", "ebnf", "grammar"},
                kLeaveOut);
  // An empty schema asks for any JSON, which is not any text.
  fields.RefuseGiven({"guided_json", "json_schema"}, kLeaveOut);
  fields.Refuse({"suffix", "logprob_token_ids", "bad_words", "truncate_prompt_tokens",
                 "use_beam_search", "logits_processors", "repetition_detection"},
                kLeaveOut);
  fields.Refuse({"thinking_budget", "thinking_token_budget", "reasoning_budget_tokens"}, kLeaveOut);
  fields.Refuse({"return_token_ids", "return_tokens_as_token_ids", "return_prompt_text",
                 "return_token_offsets", "kv_transfer_params", "prompt_embeds", "vllm_xargs"},
                kLeaveOut);
  fields.Accept({"user", "metadata", "store", "service_tier", "request_id", "rid", "length_penalty",
                 "add_special_tokens", "spaces_between_special_tokens", "early_stopping",
                 "prompt_cache_key", "safety_identifier"});
}

}  // namespace sluice::gateway
