// SPDX-License-Identifier: Apache-2.0
#include "worker/model/generation_config.h"

#include <cmath>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "proto/wire/status_macros.h"
#include "worker/weights/json_document.h"

namespace sluice::worker {
namespace {

using nlohmann::json;

absl::Status Refuse(const char* file, const char* key, const json& value, const char* accepted) {
  return absl::InvalidArgumentError(
      absl::StrCat(file, ": ", key, " is ", value.dump(), "; it must be ", accepted));
}

// eos_token_id is one id or a list. Leaves *ids empty when the key is absent or null.
absl::Status ReadEosIds(const json& object, const char* file, std::vector<TokenId>* ids) {
  const auto found = object.find("eos_token_id");
  if (found == object.end() || found->is_null()) return absl::OkStatus();
  const json list = found->is_array() ? *found : json::array({*found});
  for (const json& id : list) {
    if (!id.is_number_integer() || id < 0 || id > INT32_MAX) {
      return Refuse(file, "eos_token_id", *found, "an id or a list of ids");
    }
    ids->push_back(id.get<TokenId>());
  }
  return absl::OkStatus();
}

absl::Status ReadFloat(const json& object, const char* key, double least, double most,
                       std::optional<float>* out) {
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) return absl::OkStatus();
  if (!found->is_number() || !(found->get<double>() >= least) || !(found->get<double>() <= most)) {
    return Refuse("generation_config.json", key, *found,
                  absl::StrCat("a number from ", least, " to ", most).c_str());
  }
  *out = found->get<float>();
  return absl::OkStatus();
}

absl::Status ReadSampling(const json& object, GenerationConfig* out) {
  const auto do_sample = object.find("do_sample");
  if (do_sample != object.end() && !do_sample->is_null()) {
    if (!do_sample->is_boolean()) {
      return Refuse("generation_config.json", "do_sample", *do_sample, "true or false");
    }
    out->do_sample = do_sample->get<bool>();
  }
  const auto top_k = object.find("top_k");
  if (top_k != object.end() && !top_k->is_null()) {
    if (!top_k->is_number_integer() || *top_k < 0 || *top_k > INT32_MAX) {
      return Refuse("generation_config.json", "top_k", *top_k, "a whole number, 0 for all");
    }
    out->top_k = top_k->get<int>();
  }
  SLUICE_RETURN_IF_ERROR(ReadFloat(object, "temperature", 0, 100, &out->temperature));
  SLUICE_RETURN_IF_ERROR(ReadFloat(object, "top_p", 0, 1, &out->top_p));
  SLUICE_RETURN_IF_ERROR(ReadFloat(object, "min_p", 0, 1, &out->min_p));
  return ReadFloat(object, "repetition_penalty", 1e-3, 100, &out->repetition_penalty);
}

}  // namespace

absl::StatusOr<GenerationConfig> ParseGenerationConfig(const std::string& generation_config_json,
                                                       const std::string& config_json) {
  GenerationConfig result;
  if (!generation_config_json.empty()) {
    SLUICE_ASSIGN_OR_RETURN(const json object,
                            ParseJsonObject(generation_config_json, "generation_config.json"));
    SLUICE_RETURN_IF_ERROR(ReadEosIds(object, "generation_config.json", &result.eos_ids));
    SLUICE_RETURN_IF_ERROR(ReadSampling(object, &result));
  }
  if (result.eos_ids.empty()) {
    SLUICE_ASSIGN_OR_RETURN(const json config, ParseJsonObject(config_json, "config.json"));
    SLUICE_RETURN_IF_ERROR(ReadEosIds(config, "config.json", &result.eos_ids));
  }
  return result;
}

}  // namespace sluice::worker
