// SPDX-License-Identifier: Apache-2.0
#include "gateway/config.h"

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <iostream>
#include <optional>
#include <set>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>

#include <yaml-cpp/yaml.h>

#include "absl/flags/flag.h"
#include "absl/flags/reflection.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "proto/wire/status_macros.h"

ABSL_FLAG(std::string, config, "",
          "YAML file of these options (model: DIR, http-port: 8000, ...); the command line wins");
ABSL_FLAG(std::string, model, "",
          "Hugging Face model folder: its tokenizer.json and chat template are used (required)");
ABSL_FLAG(std::string, workers, "",
          "leaders of the worker groups: host:port,... or dns:///name:port (required)");
ABSL_FLAG(
    std::string, served_model_name, "",
    "the model's names in the API, comma separated; the first is shown; empty: the folder's name");
ABSL_FLAG(std::string, sampling_defaults, "model",
          "what fills sampling fields that a request leaves out: model (generation_config.json) or "
          "mode (the model card's advice, with and without thinking)");
ABSL_FLAG(bool, trust_user_control_tokens, false,
          "take control tokens in messages for what they say (a prompt injection risk)");
ABSL_FLAG(std::string, listen, "0.0.0.0",
          "IP address that the three ports bind; the default is every IPv4 interface, as "
          "containers need");
ABSL_FLAG(int32_t, http_port, 8000, "port of the OpenAI API; 0 picks a free one");
ABSL_FLAG(int32_t, grpc_port, 50051, "port of sluice.v1.Inference; 0 picks a free one");
ABSL_FLAG(int32_t, metrics_port, 9090,
          "port of /metrics, /livez and /readyz alone; 0 picks a free one");
ABSL_FLAG(std::string, api_keys_file, "",
          "file of API keys, one a line; requests must then carry one as a bearer token; empty: "
          "open to all");
ABSL_FLAG(int64_t, max_body_bytes, 16 * 1024 * 1024,
          "largest request, in bytes; a larger one gets 413");
ABSL_FLAG(
    int64_t, max_unsent_bytes, 4 * 1024 * 1024,
    "bytes of one streamed answer that may wait for a slow client before its work is cancelled");
ABSL_FLAG(int32_t, max_connections, 4096, "HTTP connections at a time; further ones are closed");
ABSL_FLAG(int32_t, http_threads, 2, "threads that read and write HTTP");
ABSL_FLAG(int32_t, work_threads, 0,
          "threads that parse, render and tokenize; 0: one per core, at least 2");
ABSL_FLAG(int32_t, drain_timeout, 30, "seconds that running requests may go on after SIGTERM");
ABSL_FLAG(std::string, log_format, "text", "text, or json (one object a line)");
ABSL_FLAG(std::string, log_level, "info", "debug, info, warning or error");
ABSL_FLAG(bool, check, false, "check the model folder and the configuration, then exit");

namespace sluice::gateway {
namespace {

// In the order of --help.
constexpr std::string_view kFlags[] = {"model",
                                       "workers",
                                       "config",
                                       "served_model_name",
                                       "sampling_defaults",
                                       "trust_user_control_tokens",
                                       "listen",
                                       "http_port",
                                       "grpc_port",
                                       "metrics_port",
                                       "api_keys_file",
                                       "max_body_bytes",
                                       "max_unsent_bytes",
                                       "max_connections",
                                       "http_threads",
                                       "work_threads",
                                       "drain_timeout",
                                       "log_format",
                                       "log_level",
                                       "check"};

// One file may configure `sluice serve` as a whole: the worker's keys in it are not ours to judge.
constexpr std::string_view kWorkerKeys[] = {"load_format",
                                            "max_model_len",
                                            "rope_scaling",
                                            "device",
                                            "tp_size",
                                            "rank",
                                            "leader",
                                            "max_num_seqs",
                                            "max_batched_tokens",
                                            "max_queued_requests",
                                            "max_queued_tokens",
                                            "speculation",
                                            "speculative_tokens",
                                            "speculation_max_rows",
                                            "kv_cache_memory",
                                            "gpu_memory_utilization",
                                            "prefix_cache",
                                            "threads",
                                            "logprobs_mode",
                                            "step_timeout"};

template <typename List>
bool Holds(const List& list, std::string_view name) {
  return std::find(std::begin(list), std::end(list), name) != std::end(list);
}

std::string WithUnderscores(std::string_view name) {
  std::string text(name);
  std::replace(text.begin(), text.end(), '-', '_');
  return text;
}

std::string WithDashes(std::string_view name) {
  std::string text(name);
  std::replace(text.begin(), text.end(), '_', '-');
  return text;
}

bool HasArgument(int argc, char** argv, std::string_view name) {
  return std::any_of(argv + 1, argv + argc, [name](const char* given) { return name == given; });
}

// Null for a name that is no option.
absl::CommandLineFlag* FindFlag(const std::string& name) {
  return Holds(kFlags, name) ? absl::FindCommandLineFlag(name) : nullptr;
}

struct Setting {
  std::string source;  // how messages name it: --http-port, or a file and its key
  std::string flag;
  std::string value;
};

absl::Status Apply(const Setting& setting) {
  absl::CommandLineFlag* flag = FindFlag(setting.flag);
  std::string ignored;
  if (flag->ParseFrom(setting.value, &ignored)) return absl::OkStatus();
  const char* wanted = flag->IsOfType<bool>()          ? "true or false"
                       : flag->IsOfType<std::string>() ? "text"
                                                       : "a whole number";
  return absl::InvalidArgumentError(
      absl::StrCat(setting.source, " must be ", wanted, ", not '", setting.value, "'"));
}

absl::StatusOr<std::vector<Setting>> ReadArguments(int argc, char** argv) {
  std::vector<Setting> settings;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (!argument.starts_with("--") || argument.size() == 2) {
      return absl::InvalidArgumentError(
          absl::StrCat("'", argv[i], "' is no option; every option begins with --"));
    }
    const size_t end = std::min(argument.find('='), argument.size());
    Setting setting{WithDashes(argument.substr(0, end)),
                    WithUnderscores(argument.substr(2, end - 2)), ""};
    const absl::CommandLineFlag* flag = FindFlag(setting.flag);
    if (flag == nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat("there is no option ", setting.source, "; --help lists them"));
    }
    if (end < argument.size()) {
      setting.value = argument.substr(end + 1);
    } else if (flag->IsOfType<bool>()) {
      setting.value = "true";
    } else if (i + 1 < argc) {
      setting.value = argv[++i];
    } else {
      return absl::InvalidArgumentError(absl::StrCat(setting.source, " needs a value"));
    }
    settings.push_back(std::move(setting));
  }
  return settings;
}

absl::StatusOr<std::vector<Setting>> ReadConfigFile(const std::string& path) {
  std::vector<Setting> settings;
  const auto bad = [&path](const std::string& what) {
    return absl::InvalidArgumentError(absl::StrCat("--config ", path, ": ", what));
  };
  try {
    const YAML::Node root = YAML::LoadFile(path);
    if (root.IsNull()) return settings;
    if (!root.IsMap()) return bad("is not a map of option names to values");
    for (const auto& entry : root) {
      const std::string key = entry.first.as<std::string>();
      const std::string name = WithUnderscores(key);
      if (Holds(kWorkerKeys, name)) continue;
      if (!Holds(kFlags, name) || name == "config") {
        return bad(absl::StrCat("there is no option '", key, "'; --help lists them"));
      }
      std::string value;
      if (entry.second.IsSequence()) {
        for (const auto& item : entry.second) {
          if (!value.empty()) value += ',';
          value += item.as<std::string>();
        }
      } else if (entry.second.IsScalar()) {
        value = entry.second.as<std::string>();
      } else {
        return bad(absl::StrCat("'", key, "' is neither a value nor a list of values"));
      }
      settings.push_back({absl::StrCat("--config ", path, ": ", key), name, value});
    }
  } catch (const YAML::BadFile&) {
    return bad("cannot be read");
  } catch (const YAML::Exception& error) {
    return bad(error.what());
  }
  return settings;
}

absl::Status InRange(std::string_view name, int64_t value, int64_t least, int64_t most) {
  if (value >= least && value <= most) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("--", WithDashes(name), " must be from ", least, " to ", most, ", not ", value));
}

template <typename T>
absl::StatusOr<T> OneOf(std::string_view name, const std::string& value,
                        const std::vector<std::pair<std::string_view, T>>& choices) {
  std::string known;
  for (const auto& [text, choice] : choices) {
    if (value == text) return choice;
    absl::StrAppend(&known, known.empty() ? "" : " or ", std::string(text));
  }
  return absl::InvalidArgumentError(
      absl::StrCat("--", WithDashes(name), " must be ", known, ", not '", value, "'"));
}

absl::Status ReadPorts(GatewayConfig& config) {
  config.listen = absl::GetFlag(FLAGS_listen);
  config.http_port = absl::GetFlag(FLAGS_http_port);
  config.grpc_port = absl::GetFlag(FLAGS_grpc_port);
  config.metrics_port = absl::GetFlag(FLAGS_metrics_port);
  SLUICE_RETURN_IF_ERROR(InRange("http_port", config.http_port, 0, 65535));
  SLUICE_RETURN_IF_ERROR(InRange("grpc_port", config.grpc_port, 0, 65535));
  SLUICE_RETURN_IF_ERROR(InRange("metrics_port", config.metrics_port, 0, 65535));
  return absl::OkStatus();
}

absl::Status ReadLimits(GatewayConfig& config) {
  const int64_t max_body_bytes = absl::GetFlag(FLAGS_max_body_bytes);
  const int64_t max_unsent_bytes = absl::GetFlag(FLAGS_max_unsent_bytes);
  const int drain_seconds = absl::GetFlag(FLAGS_drain_timeout);
  config.http_threads = absl::GetFlag(FLAGS_http_threads);
  config.work_threads = absl::GetFlag(FLAGS_work_threads);
  config.max_connections = absl::GetFlag(FLAGS_max_connections);
  SLUICE_RETURN_IF_ERROR(InRange("max_body_bytes", max_body_bytes, 1024, int64_t{1} << 30));
  SLUICE_RETURN_IF_ERROR(
      InRange("max_unsent_bytes", max_unsent_bytes, 64 * 1024, int64_t{1} << 30));
  SLUICE_RETURN_IF_ERROR(InRange("drain_timeout", drain_seconds, 0, 24 * 3600));
  SLUICE_RETURN_IF_ERROR(InRange("http_threads", config.http_threads, 1, 256));
  SLUICE_RETURN_IF_ERROR(InRange("work_threads", config.work_threads, 0, 256));
  SLUICE_RETURN_IF_ERROR(InRange("max_connections", config.max_connections, 1, 1'000'000));
  if (config.work_threads == 0) {
    config.work_threads = std::max(2, static_cast<int>(std::thread::hardware_concurrency()));
  }
  config.max_body_bytes = static_cast<size_t>(max_body_bytes);
  config.max_unsent_bytes = static_cast<size_t>(max_unsent_bytes);
  config.drain_timeout = std::chrono::seconds(drain_seconds);
  return absl::OkStatus();
}

absl::Status ReadModel(GatewayConfig& config) {
  config.model_dir = absl::GetFlag(FLAGS_model);
  if (config.model_dir.empty()) {
    return absl::InvalidArgumentError("--model is missing: give the model's folder");
  }
  std::error_code error;
  const std::filesystem::path folder = std::filesystem::canonical(config.model_dir, error);
  if (error || !std::filesystem::is_directory(folder, error)) {
    return absl::InvalidArgumentError(
        absl::StrCat("--model ", config.model_dir, " is not a folder"));
  }
  for (const absl::string_view name :
       absl::StrSplit(absl::GetFlag(FLAGS_served_model_name), ',', absl::SkipWhitespace())) {
    config.served_model_names.emplace_back(name);
  }
  if (config.served_model_names.empty()) config.served_model_names = {folder.filename().string()};
  SLUICE_ASSIGN_OR_RETURN(
      config.sampling_defaults,
      (OneOf<SamplingDefaults>(
          "sampling_defaults", absl::GetFlag(FLAGS_sampling_defaults),
          {{"model", SamplingDefaults::kModel}, {"mode", SamplingDefaults::kMode}})));
  config.trust_user_control_tokens = absl::GetFlag(FLAGS_trust_user_control_tokens);
  return absl::OkStatus();
}

absl::Status ReadLogging(GatewayConfig& config) {
  SLUICE_ASSIGN_OR_RETURN(
      config.log_format,
      (OneOf<LogFormat>("log_format", absl::GetFlag(FLAGS_log_format),
                        {{"text", LogFormat::kText}, {"json", LogFormat::kJson}})));
  SLUICE_ASSIGN_OR_RETURN(config.log_level,
                          (OneOf<LogLevel>("log_level", absl::GetFlag(FLAGS_log_level),
                                           {{"debug", LogLevel::kDebug},
                                            {"info", LogLevel::kInfo},
                                            {"warning", LogLevel::kWarning},
                                            {"error", LogLevel::kError}})));
  return absl::OkStatus();
}

}  // namespace

bool WantsHelp(int argc, char** argv) {
  return HasArgument(argc, argv, "--help") || HasArgument(argc, argv, "-h");
}

bool WantsVersion(int argc, char** argv) { return HasArgument(argc, argv, "--version"); }

void ShowHelp() {
  std::cout << "Usage: sluice-gateway --model DIR --workers HOST:PORT,... [OPTION]...\n"
               "The text front end of Sluice: the OpenAI API over HTTP and sluice.v1.Inference "
               "over gRPC, in front "
               "of worker groups.\nPrints 'listening http=... grpc=... metrics=...' once it "
               "serves; SIGTERM drains "
               "and ends it.\n\n";
  for (const std::string_view name : kFlags) {
    const absl::CommandLineFlag* flag =
        absl::FindCommandLineFlag(absl::string_view(name.data(), name.size()));
    std::cout << "  --" << WithDashes(name) << "\n      " << flag->Help();
    const std::string default_value = flag->DefaultValue();
    if (!default_value.empty()) std::cout << " (default: " << default_value << ")";
    std::cout << "\n";
  }
  std::cout << "  --version\n      show the version\n";
}

absl::StatusOr<GatewayConfig> ParseConfig(int argc, char** argv) {
  SLUICE_ASSIGN_OR_RETURN(const std::vector<Setting> given, ReadArguments(argc, argv));
  for (const Setting& setting : given) {
    if (setting.flag != "config" || setting.value.empty()) continue;
    SLUICE_ASSIGN_OR_RETURN(const std::vector<Setting> from_file, ReadConfigFile(setting.value));
    for (const Setting& in_file : from_file) SLUICE_RETURN_IF_ERROR(Apply(in_file));
  }
  // After the file's: the command line wins.
  for (const Setting& setting : given) SLUICE_RETURN_IF_ERROR(Apply(setting));

  GatewayConfig config;
  config.check = absl::GetFlag(FLAGS_check);
  config.api_keys_file = absl::GetFlag(FLAGS_api_keys_file);
  SLUICE_RETURN_IF_ERROR(ReadModel(config));
  SLUICE_RETURN_IF_ERROR(ReadPorts(config));
  SLUICE_RETURN_IF_ERROR(ReadLimits(config));
  SLUICE_RETURN_IF_ERROR(ReadLogging(config));
  const std::string workers = absl::GetFlag(FLAGS_workers);
  if (!config.check || !workers.empty()) {
    SLUICE_ASSIGN_OR_RETURN(config.workers, WorkerAddresses::Parse(workers));
  }
  return config;
}

}  // namespace sluice::gateway
