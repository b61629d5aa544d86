// SPDX-License-Identifier: Apache-2.0
#include "worker/model/qwen3_config.h"

#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "kernels/cpu/attention.h"
#include "nlohmann/json.hpp"
#include "proto/wire/status_macros.h"
#include "worker/model/rope_scaling.h"
#include "worker/weights/json_document.h"

namespace sluice::worker {
namespace {

using nlohmann::json;

template <typename... Args>
absl::Status Refuse(const Args&... args) {
  return absl::InvalidArgumentError(absl::StrCat("config.json: ", args...));
}

// A whole number from 1 to limit. Limits are far beyond any Qwen3 and keep products of sizes within
// 63 bits.
absl::Status ReadSize(const json& config, const char* key, int64_t limit, int* out) {
  const auto value = config.find(key);
  if (value == config.end()) return Refuse("it has no ", key);
  if (!value->is_number_integer() || *value < 1 || *value > limit) {
    return Refuse(key, " is ", value->dump(), "; it must be a whole number from 1 to ", limit);
  }
  *out = value->get<int>();
  return absl::OkStatus();
}

absl::Status ReadPositive(const json& object, const char* key, double* out) {
  const auto value = object.find(key);
  if (value == object.end()) return Refuse("it has no ", key);
  if (!value->is_number() || !(value->get<double>() > 0) || !std::isfinite(value->get<double>())) {
    return Refuse(key, " is ", value->dump(), "; it must be a number greater than 0");
  }
  *out = value->get<double>();
  return absl::OkStatus();
}

// OK when the key is absent, null or has the one value that the model is built for.
absl::Status RequireIfPresent(const json& config, const char* key, const json& accepted) {
  const auto value = config.find(key);
  if (value == config.end() || value->is_null() || *value == accepted) return absl::OkStatus();
  return Refuse(key, " is ", value->dump(), "; Sluice runs ", accepted.dump());
}

absl::Status CheckArchitecture(const json& config) {
  const auto type = config.find("model_type");
  if (type == config.end() || *type != "qwen3") {
    return Refuse("model_type is ", type == config.end() ? "absent" : type->dump(),
                  "; Sluice runs \"qwen3\"");
  }
  SLUICE_RETURN_IF_ERROR(
      RequireIfPresent(config, "architectures", json::array({"Qwen3ForCausalLM"})));
  SLUICE_RETURN_IF_ERROR(RequireIfPresent(config, "hidden_act", "silu"));
  SLUICE_RETURN_IF_ERROR(RequireIfPresent(config, "attention_bias", false));
  SLUICE_RETURN_IF_ERROR(RequireIfPresent(config, "use_sliding_window", false));
  SLUICE_RETURN_IF_ERROR(RequireIfPresent(config, "head_dim", kHeadDim));
  const auto layers = config.find("layer_types");
  if (layers != config.end() && layers->is_array()) {
    for (const json& layer : *layers) {
      if (layer != "full_attention") {
        return Refuse("layer_types holds ", layer.dump(), "; Sluice runs \"full_attention\"");
      }
    }
  }
  return absl::OkStatus();
}

absl::Status ReadSizes(const json& config, Qwen3Config* out) {
  SLUICE_RETURN_IF_ERROR(ReadSize(config, "hidden_size", 1 << 20, &out->hidden_size));
  SLUICE_RETURN_IF_ERROR(ReadSize(config, "intermediate_size", 1 << 20, &out->intermediate_size));
  SLUICE_RETURN_IF_ERROR(ReadSize(config, "num_hidden_layers", 1024, &out->num_layers));
  SLUICE_RETURN_IF_ERROR(ReadSize(config, "num_attention_heads", 4096, &out->num_heads));
  SLUICE_RETURN_IF_ERROR(ReadSize(config, "num_key_value_heads", 4096, &out->num_kv_heads));
  SLUICE_RETURN_IF_ERROR(ReadSize(config, "vocab_size", 1 << 24, &out->vocab_size));
  SLUICE_RETURN_IF_ERROR(
      ReadSize(config, "max_position_embeddings", 1 << 24, &out->max_position_embeddings));
  for (const auto& [key, size] : {std::pair("hidden_size", out->hidden_size),
                                  std::pair("intermediate_size", out->intermediate_size)}) {
    if (size % kGroupSize != 0) {
      return Refuse(key, " is ", size, "; it must be a multiple of ", kGroupSize);
    }
  }
  if (out->num_heads % out->num_kv_heads != 0) {
    return Refuse("num_attention_heads is ", out->num_heads, ", which num_key_value_heads ",
                  out->num_kv_heads, " does not divide");
  }
  if (out->num_heads / out->num_kv_heads > kernels::cpu::kMaxGroup) {
    return Refuse(out->num_heads / out->num_kv_heads,
                  " query heads share a key-value head; at most ", kernels::cpu::kMaxGroup, " may");
  }
  return absl::OkStatus();
}

// rope_theta stands at the top level, or in rope_parameters as Transformers 5 writes it.
absl::Status ReadRopeTheta(const json& config, Qwen3Config* out) {
  const auto parameters = config.find("rope_parameters");
  const bool nested =
      !config.contains("rope_theta") && parameters != config.end() && parameters->is_object();
  return ReadPositive(nested ? *parameters : config, "rope_theta", &out->rope_theta);
}

}  // namespace

std::string Qwen3Config::RopeScalingJson() const {
  return yarn.has_value() ? YarnScalingJson(*yarn) : std::string();
}

absl::StatusOr<Qwen3Config> ParseQwen3Config(const std::string& config_json,
                                             const std::string& rope_scaling_override) {
  SLUICE_ASSIGN_OR_RETURN(const json config, ParseJsonObject(config_json, "config.json"));
  Qwen3Config result;
  SLUICE_RETURN_IF_ERROR(CheckArchitecture(config));
  SLUICE_RETURN_IF_ERROR(ReadSizes(config, &result));
  SLUICE_RETURN_IF_ERROR(ReadPositive(config, "rms_norm_eps", &result.rms_norm_eps));
  SLUICE_RETURN_IF_ERROR(ReadRopeTheta(config, &result));
  const auto tied = config.find("tie_word_embeddings");
  if (tied != config.end()) {
    if (!tied->is_boolean()) {
      return Refuse("tie_word_embeddings is ", tied->dump(), "; it must be true or false");
    }
    result.tie_word_embeddings = tied->get<bool>();
  }
  for (const char* key : {"torch_dtype", "dtype"}) {
    const auto dtype = config.find(key);
    if (dtype != config.end() && dtype->is_string()) result.torch_dtype = dtype->get<std::string>();
  }
  SLUICE_ASSIGN_OR_RETURN(result.yarn, ReadRopeScaling(config, rope_scaling_override));
  if (result.yarn.has_value()) {
    result.max_position_embeddings = static_cast<int>(
        std::lround(result.yarn->original_max_position_embeddings * result.yarn->factor));
  }
  SLUICE_ASSIGN_OR_RETURN(result.quantization, ParseQuantizationConfig(config_json));
  return result;
}

absl::Status CheckTpSize(const Qwen3Config& config, int tp_size) {
  const int groups = config.intermediate_size / kGroupSize;
  const auto divides = [&](int n) {
    return config.num_heads % n == 0 && config.num_kv_heads % n == 0 && groups % n == 0 &&
           config.vocab_size % n == 0;
  };
  if (tp_size >= 1 && divides(tp_size)) return absl::OkStatus();
  std::vector<int> possible;
  for (int n = 1; n <= config.num_kv_heads; ++n) {
    if (divides(n)) possible.push_back(n);
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "tp-size ", tp_size, " cannot share this model: it must divide ", config.num_heads,
      " attention heads, ", config.num_kv_heads, " key-value heads, ", groups, " groups of ",
      kGroupSize, " in intermediate_size ", config.intermediate_size, " and ", config.vocab_size,
      " rows of the vocabulary; possible are ", absl::StrJoin(possible, ", ")));
}

}  // namespace sluice::worker
