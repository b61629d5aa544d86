// SPDX-License-Identifier: Apache-2.0
#include "worker/model/rope_scaling.h"

#include <cmath>
#include <set>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "proto/wire/status_macros.h"
#include "worker/weights/json_document.h"

namespace sluice::worker {
namespace {

using nlohmann::json;

// Longest context that positions and page tables are meant for.
constexpr double kMaxContext = 1 << 24;

template <typename... Args>
absl::Status Refuse(const std::string& where, const Args&... args) {
  return absl::InvalidArgumentError(absl::StrCat(where, args...));
}

// Leaves *out as it is when the key is absent and not required.
absl::Status ReadNumber(const json& object, const std::string& where, const char* key,
                        bool required, double least, double* out) {
  const auto value = object.find(key);
  if (value == object.end()) {
    return required ? Refuse(where, " is yarn but has no ", key) : absl::OkStatus();
  }
  if (!value->is_number() || !(value->get<double>() >= least) ||
      value->get<double>() > kMaxContext) {
    return Refuse(where, ".", key, " is ", value->dump(), "; it must be a number from ", least,
                  " to ", kMaxContext);
  }
  *out = value->get<double>();
  return absl::OkStatus();
}

absl::StatusOr<YarnScaling> ParseYarn(const json& object, const std::string& where) {
  static const std::set<std::string> kKnown = {
      "rope_type", "type",      "rope_theta",       "factor",  "original_max_position_embeddings",
      "beta_fast", "beta_slow", "attention_factor", "truncate"};
  for (const auto& [key, value] : object.items()) {
    const bool known = kKnown.contains(key) && (key != "truncate" || value == true);
    if (!known) {
      return Refuse(where, " has ", key, " = ", value.dump(), ", which Sluice does not implement");
    }
  }
  YarnScaling yarn;
  double original = 0;
  SLUICE_RETURN_IF_ERROR(ReadNumber(object, where, "factor", true, 1, &yarn.factor));
  // Required: the fallback of Transformers, max_position_embeddings, is 40,960 in published Qwen3
  // folders where the model was trained on 32,768, and the frequencies would be wrong without a
  // sign of it.
  SLUICE_RETURN_IF_ERROR(
      ReadNumber(object, where, "original_max_position_embeddings", true, 1, &original));
  SLUICE_RETURN_IF_ERROR(ReadNumber(object, where, "beta_fast", false, 1e-3, &yarn.beta_fast));
  SLUICE_RETURN_IF_ERROR(ReadNumber(object, where, "beta_slow", false, 1e-3, &yarn.beta_slow));
  yarn.attention_factor = 0.1 * std::log(yarn.factor) + 1.0;
  SLUICE_RETURN_IF_ERROR(
      ReadNumber(object, where, "attention_factor", false, 1e-3, &yarn.attention_factor));
  if (original != std::floor(original) || original * yarn.factor > kMaxContext) {
    return Refuse(where, ".original_max_position_embeddings is ", original, " with factor ",
                  yarn.factor, "; it must be whole and their product at most ", kMaxContext);
  }
  yarn.original_max_position_embeddings = static_cast<int>(original);
  return yarn;
}

absl::StatusOr<std::optional<YarnScaling>> ParseScaling(const json& object,
                                                        const std::string& where) {
  if (object.is_null()) return std::optional<YarnScaling>();
  if (!object.is_object()) return Refuse(where, " is ", object.dump(), "; it must be an object");
  auto type = object.find("rope_type");
  if (type == object.end()) type = object.find("type");
  if (type == object.end()) return Refuse(where, " has neither rope_type nor type");
  if (*type == "default") return std::optional<YarnScaling>();
  if (*type != "yarn") {
    return Refuse(where, ".rope_type is ", type->dump(), "; Sluice runs \"yarn\" and \"default\"");
  }
  SLUICE_ASSIGN_OR_RETURN(YarnScaling yarn, ParseYarn(object, where));
  return std::optional<YarnScaling>(yarn);
}

}  // namespace

absl::StatusOr<std::optional<YarnScaling>> ReadRopeScaling(const json& config,
                                                           const std::string& override_json) {
  if (!override_json.empty()) {
    SLUICE_ASSIGN_OR_RETURN(const json object, ParseJsonObject(override_json, "--rope-scaling"));
    return ParseScaling(object, "--rope-scaling");
  }
  std::optional<YarnScaling> found;
  for (const char* key : {"rope_parameters", "rope_scaling"}) {
    const auto object = config.find(key);
    if (object == config.end()) continue;
    SLUICE_ASSIGN_OR_RETURN(const std::optional<YarnScaling> scaling,
                            ParseScaling(*object, absl::StrCat("config.json: ", key)));
    if (!scaling.has_value()) continue;
    if (found.has_value() && YarnScalingJson(*found) != YarnScalingJson(*scaling)) {
      return Refuse("config.json: ", "rope_parameters is ", YarnScalingJson(*found),
                    " but rope_scaling is ", YarnScalingJson(*scaling));
    }
    found = scaling;
  }
  return found;
}

std::string YarnScalingJson(const YarnScaling& yarn) {
  return json{{"rope_type", "yarn"},
              {"factor", yarn.factor},
              {"original_max_position_embeddings", yarn.original_max_position_embeddings},
              {"beta_fast", yarn.beta_fast},
              {"beta_slow", yarn.beta_slow},
              {"attention_factor", yarn.attention_factor}}
      .dump();
}

}  // namespace sluice::worker
