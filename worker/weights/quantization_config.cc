// SPDX-License-Identifier: Apache-2.0
#include "worker/weights/quantization_config.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "proto/wire/status_macros.h"
#include "worker/weights/json_document.h"

namespace sluice::worker {
namespace {

using nlohmann::json;

constexpr char kField[] = "config.json: quantization_config";

absl::Status Refuse(absl::string_view key, const json& value, absl::string_view accepted) {
  return absl::InvalidArgumentError(
      absl::StrCat(kField, ".", key, " is ", value.dump(), "; Sluice runs ", accepted));
}

// A key in either spelling; both must agree where both are written.
absl::Status RequireNumber(const json& object, const char* key, const char* other, int accepted) {
  bool found = false;
  for (const char* name : {key, other}) {
    const auto value = object.find(name);
    if (value == object.end()) continue;
    found = true;
    if (!value->is_number_integer() || *value != accepted) {
      return Refuse(name, *value, absl::StrCat(accepted));
    }
  }
  if (found) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(kField, " has neither ", key, " nor ", other));
}

absl::Status RequireText(const json& object, const char* key, absl::string_view accepted) {
  const auto value = object.find(key);
  if (value == object.end()) {
    return absl::InvalidArgumentError(
        absl::StrCat(kField, " has no ", key, "; Sluice runs \"", accepted, "\""));
  }
  // AutoAWQ's enum prints in either case.
  if (!value->is_string() || absl::AsciiStrToLower(value->get<std::string>()) != accepted) {
    return Refuse(key, *value, absl::StrCat("\"", accepted, "\""));
  }
  return absl::OkStatus();
}

absl::Status CheckKnownKeys(const json& object) {
  static constexpr absl::string_view kKnown[] = {
      "quant_method", "bits", "w_bit", "group_size", "q_group_size", "version", "zero_point",
      "modules_to_not_convert",
      // Carried by published folders; Transformers' choice of a CUDA kernel, without meaning here.
      "backend", "do_fuse", "fuse_max_seq_len", "modules_to_fuse", "exllama_config"};
  for (const auto& [key, value] : object.items()) {
    if (std::find(std::begin(kKnown), std::end(kKnown), absl::string_view(key)) ==
        std::end(kKnown)) {
      return absl::InvalidArgumentError(
          absl::StrCat(kField, " has the unknown key '", key, "' (", value.dump(), ")"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

bool QuantizationConfig::Converts(absl::string_view module) const {
  return std::none_of(
      modules_to_not_convert.begin(), modules_to_not_convert.end(),
      [module](const std::string& name) { return absl::StrContains(module, name); });
}

absl::StatusOr<std::optional<QuantizationConfig>> ParseQuantizationConfig(
    absl::string_view config_json) {
  SLUICE_ASSIGN_OR_RETURN(const json config, ParseJsonObject(config_json, "config.json"));
  const auto found = config.find("quantization_config");
  if (found == config.end() || found->is_null()) return std::optional<QuantizationConfig>();
  const json& object = *found;
  if (!object.is_object()) {
    return absl::InvalidArgumentError(absl::StrCat(kField, " is not an object"));
  }
  SLUICE_RETURN_IF_ERROR(RequireText(object, "quant_method", "awq"));
  SLUICE_RETURN_IF_ERROR(CheckKnownKeys(object));
  SLUICE_RETURN_IF_ERROR(RequireNumber(object, "bits", "w_bit", 4));
  SLUICE_RETURN_IF_ERROR(RequireNumber(object, "group_size", "q_group_size", 128));
  SLUICE_RETURN_IF_ERROR(RequireText(object, "version", "gemm"));
  const auto zero_point = object.find("zero_point");
  if (zero_point == object.end() || *zero_point != true) {
    return Refuse("zero_point", zero_point == object.end() ? json() : *zero_point, "true");
  }
  QuantizationConfig result;
  const auto modules = object.find("modules_to_not_convert");
  if (modules != object.end() && !modules->is_null()) {
    if (!modules->is_array()) return Refuse("modules_to_not_convert", *modules, "a list of names");
    for (const json& module : *modules) {
      if (!module.is_string() || module.get<std::string>().empty()) {
        return Refuse("modules_to_not_convert", *modules, "a list of names");
      }
      result.modules_to_not_convert.push_back(module.get<std::string>());
    }
  }
  return std::optional<QuantizationConfig>(std::move(result));
}

}  // namespace sluice::worker
