// SPDX-License-Identifier: Apache-2.0
#include "worker/config.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <system_error>
#include <utility>

#include "absl/flags/flag.h"
#include "absl/flags/reflection.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "proto/wire/status_macros.h"

ABSL_FLAG(std::string, model, "",
          "Hugging Face model folder: config.json, tokenizer.json, *.safetensors. Required.");
ABSL_FLAG(std::string, served_model_name, "",
          "The model's name in GetModelInfo and in the gateway's API. Empty: the folder's name.");
ABSL_FLAG(
    std::string, load_format, "auto",
    "auto: the folder's weights. dummy: random weights of config.json's shapes, for benchmarks.");
ABSL_FLAG(int, max_model_len, 0,
          "Longest prompt and answer together, tokens. 0: the model's context.");
ABSL_FLAG(std::string, rope_scaling, "",
          "JSON in place of config.json's rope_scaling, such as "
          "{\"rope_type\":\"yarn\",\"factor\":4.0,\"original_max_position_embeddings\":32768}.");
ABSL_FLAG(
    std::string, device, "auto",
    "auto, cpu or cuda. auto takes the GPUs where there are some that this build runs on, and "
    "else the CPU, saying why. Rank r takes GPU r of those that CUDA_VISIBLE_DEVICES leaves.");
ABSL_FLAG(int, tp_size, 1,
          "Tensor-parallel ranks, one process each. Must divide the model's heads and 128-groups.");
ABSL_FLAG(
    std::string, all_reduce, "auto",
    "How ranks on GPUs sum: auto, over the GPUs' peer memory or through NCCL, whichever is faster "
    "for a size; nccl; or peer, which refuses to start where GPUs do not reach each other's "
    "memory.");
ABSL_FLAG(int, rank, -1,
          "Run as this one rank of a group. Below 0: launch all ranks of the group on this host.");
ABSL_FLAG(std::string, leader, "", "host:port of rank 0, for a rank above 0.");
ABSL_FLAG(std::string, listen, "127.0.0.1",
          "Address that the gRPC and metrics ports bind. There is no authentication: choose it "
          "with care.");
ABSL_FLAG(int, grpc_port, 50061,
          "Port of rank 0's gRPC services. 0: any free one; the line \"listening grpc=HOST:PORT "
          "metrics=HOST:PORT\" on standard output says which.");
ABSL_FLAG(int, metrics_port, 9100,
          "Port of rank 0's Prometheus metrics; rank r has this plus r. 0: any free ones.");
ABSL_FLAG(int, max_num_seqs, 0, "Most sequences that run at once. 0: 64 on the CPU, 256 on a GPU.");
ABSL_FLAG(
    int, max_batched_tokens, 0,
    "Most tokens in one step, decodes and prefill chunks together. 0: 128 on the CPU; on a GPU "
    "2048, and 8192 in steps in which nothing decodes; --max-num-seqs where that is more.");
ABSL_FLAG(int, max_queued_requests, 512,
          "Most requests that wait beyond those that can run at once; more are refused "
          "(RESOURCE_EXHAUSTED).");
ABSL_FLAG(int64_t, max_queued_tokens, 4000000,
          "Most prompt tokens that wait; more are refused (RESOURCE_EXHAUSTED).");
ABSL_FLAG(std::string, speculation, "prompt-lookup",
          "off, or prompt-lookup: where a sequence repeats what it has seen, several tokens are "
          "computed at once. Answers are the same with and without.");
ABSL_FLAG(int, speculative_tokens, 8, "Most tokens that a sequence guesses in a step, 1 to 8.");
ABSL_FLAG(int, speculation_max_rows, 1,
          "No guessing while more sequences than this run: on the CPU already a few rows keep it "
          "busy.");
ABSL_FLAG(std::string, kv_cache_memory, "auto",
          "Memory for the KV cache of each rank: bytes, or a number with KiB, MiB or GiB. auto: on "
          "the CPU 1 GiB over all ranks, or one context where that is more; on a GPU what "
          "--gpu-memory-utilization leaves.");
ABSL_FLAG(double, gpu_memory_utilization, 0.90,
          "Part of each GPU's memory that may be in use, weights, workspace and what others use "
          "included; above 0, at most 1.");
ABSL_FLAG(bool, prefix_cache, true,
          "Keep the KV pages of ended sequences while there is room, and reuse them for prompts "
          "that begin alike. --no-prefix-cache turns it off.");
ABSL_FLAG(
    int, threads, 0,
    "Threads of each rank's kernels. 0: the machine's hardware threads divided by --tp-size.");
ABSL_FLAG(std::string, logprobs_mode, "raw",
          "raw: log probabilities are of the model's logits. processed: of what was drawn from, "
          "after temperature, penalties, bias, masks, min_p, top_k and top_p. Those of a prompt "
          "are always raw.");
ABSL_FLAG(int, drain_timeout, 30, "Seconds that running requests may go on after SIGTERM.");
ABSL_FLAG(int, step_timeout, 5,
          "Seconds without step progress after which the group counts as hung, unless 20 median "
          "steps take longer.");
ABSL_FLAG(std::string, log_format, "text", "text, or json: one object a line. On standard error.");
ABSL_FLAG(
    std::string, config, "",
    "YAML file that gives any of these flags, dashes or underscores alike; the command line wins.");
ABSL_FLAG(bool, check, false, "Check the model folder and the flags, print a summary, and exit.");
ABSL_FLAG(int, announce_fd, -1,
          "Used by the launcher: the descriptor on which rank 0 tells its ports.");

namespace sluice::worker {
namespace {

// In the order of --help; announce_fd is the launcher's own business.
constexpr const char* kFlags[] = {"model",
                                  "served_model_name",
                                  "load_format",
                                  "max_model_len",
                                  "rope_scaling",
                                  "device",
                                  "tp_size",
                                  "all_reduce",
                                  "rank",
                                  "leader",
                                  "listen",
                                  "grpc_port",
                                  "metrics_port",
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
                                  "drain_timeout",
                                  "step_timeout",
                                  "log_format",
                                  "config",
                                  "check"};
// One YAML file may serve both processes: these are the gateway's and not ours to judge.
constexpr const char* kGatewayFlags[] = {
    "workers",          "sampling_defaults", "trust_user_control_tokens",
    "http_port",        "api_keys_file",     "max_body_bytes",
    "max_unsent_bytes", "max_connections",   "http_threads",
    "work_threads",     "log_level"};

std::string Underscores(absl::string_view name) { return absl::StrReplaceAll(name, {{"-", "_"}}); }
std::string Dashes(absl::string_view name) { return absl::StrReplaceAll(name, {{"_", "-"}}); }

template <typename Names>
bool Contains(const Names& names, const std::string& name) {
  return std::find(std::begin(names), std::end(names), name) != std::end(names);
}

absl::CommandLineFlag* FindFlag(const std::string& name) {
  if (name != "announce_fd" && !Contains(kFlags, name)) return nullptr;
  return absl::FindCommandLineFlag(name);
}

absl::Status NoSuchFlag(const std::string& name) {
  return absl::InvalidArgumentError(
      absl::StrCat("--", Dashes(name), " is no flag of sluice-worker; see --help"));
}

absl::Status SetFlag(const std::string& name, const std::string& value) {
  absl::CommandLineFlag* flag = FindFlag(name);
  if (flag == nullptr) return NoSuchFlag(name);
  std::string error;
  if (flag->ParseFrom(value, &error)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("--", Dashes(name), ": '", value, "' is not a value it takes; ", flag->Help()));
}

// A YAML value as a flag takes it: scalars as they stand, maps and lists as JSON.
std::string ToText(const YAML::Node& node, bool nested) {
  if (node.IsMap() || node.IsSequence()) {
    std::string text(node.IsMap() ? "{" : "[");
    for (auto it = node.begin(); it != node.end(); ++it) {
      if (it != node.begin()) text += ",";
      text += node.IsMap()
                  ? absl::StrCat("\"", it->first.as<std::string>(), "\":", ToText(it->second, true))
                  : ToText(*it, true);
    }
    return text + (node.IsMap() ? "}" : "]");
  }
  if (node.IsNull()) return nested ? "null" : "";
  const std::string scalar = node.as<std::string>();
  double number = 0;
  const bool plain = absl::SimpleAtod(scalar, &number) || scalar == "true" || scalar == "false";
  return nested && !plain ? absl::StrCat("\"", scalar, "\"") : scalar;
}

absl::Status ReadYaml(const std::string& path) {
  YAML::Node root;
  try {
    root = YAML::LoadFile(path);
  } catch (const YAML::BadFile&) {
    return absl::InvalidArgumentError(absl::StrCat("--config ", path, ": cannot be read"));
  } catch (const YAML::Exception& error) {
    return absl::InvalidArgumentError(absl::StrCat("--config ", path, ": ", error.what()));
  }
  if (root.IsNull()) return absl::OkStatus();
  if (!root.IsMap()) {
    return absl::InvalidArgumentError(absl::StrCat("--config ", path, ": must be a map of flags"));
  }
  for (const auto& entry : root) {
    try {
      const std::string name = Underscores(entry.first.as<std::string>());
      if (Contains(kGatewayFlags, name)) continue;
      const absl::Status set = SetFlag(name, ToText(entry.second, false));
      if (!set.ok()) {
        return absl::InvalidArgumentError(absl::StrCat("--config ", path, ": ", set.message()));
      }
    } catch (const YAML::Exception& error) {
      return absl::InvalidArgumentError(absl::StrCat("--config ", path, ": ", error.what()));
    }
  }
  return absl::OkStatus();
}

struct Assignment {
  std::string name;
  std::string value;
};

absl::StatusOr<std::vector<Assignment>> SplitArguments(const std::vector<std::string>& arguments) {
  std::vector<Assignment> assignments;
  for (size_t i = 0; i < arguments.size(); ++i) {
    absl::string_view argument = arguments[i];
    if (!absl::ConsumePrefix(&argument, "--") || argument.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat("'", arguments[i], "' is no flag; flags begin with --, see --help"));
    }
    const size_t equals = argument.find('=');
    const std::string name = Underscores(argument.substr(0, equals));
    if (name == "no_prefix_cache" && equals == absl::string_view::npos) {
      assignments.push_back({"prefix_cache", "false"});
      continue;
    }
    if (equals != absl::string_view::npos) {
      assignments.push_back({name, std::string(argument.substr(equals + 1))});
      continue;
    }
    const absl::CommandLineFlag* flag = FindFlag(name);
    if (flag == nullptr) return NoSuchFlag(name);
    if (flag->IsOfType<bool>()) {
      assignments.push_back({name, "true"});
    } else if (i + 1 == arguments.size()) {
      return absl::InvalidArgumentError(absl::StrCat("--", Dashes(name), " needs a value"));
    } else {
      assignments.push_back({name, arguments[++i]});
    }
  }
  return assignments;
}

absl::Status CheckRange(absl::string_view flag, int64_t value, int64_t low, int64_t high) {
  if (value >= low && value <= high) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("--", flag, " ", value, ": must be between ", low, " and ", high));
}

absl::StatusOr<int64_t> ParseBytes(const std::string& text) {
  absl::string_view number = text;
  if (number == "auto") return 0;
  int shift = 0;
  if (absl::ConsumeSuffix(&number, "KiB"))
    shift = 10;
  else if (absl::ConsumeSuffix(&number, "MiB"))
    shift = 20;
  else if (absl::ConsumeSuffix(&number, "GiB"))
    shift = 30;
  double value = 0;
  if (!absl::SimpleAtod(absl::StripAsciiWhitespace(number), &value) || !(value > 0) ||
      value > 1e15) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--kv-cache-memory '", text, "': must be auto, or bytes as in 536870912, 512MiB or 2GiB"));
  }
  return static_cast<int64_t>(value * static_cast<double>(int64_t{1} << shift));
}

absl::StatusOr<Device> ParseDevice(const std::string& text) {
  for (const Device device : {Device::kAuto, Device::kCpu, Device::kCuda}) {
    if (text == DeviceName(device)) return device;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("--device '", text, "': must be auto, cpu or cuda"));
}

absl::Status FillModel(WorkerOptions& options) {
  options.model = absl::GetFlag(FLAGS_model);
  if (options.model.empty()) {
    return absl::InvalidArgumentError("--model is missing: name a Hugging Face model folder");
  }
  options.served_model_name = absl::GetFlag(FLAGS_served_model_name);
  options.rope_scaling = absl::GetFlag(FLAGS_rope_scaling);
  options.max_model_len = absl::GetFlag(FLAGS_max_model_len);
  const std::string load_format = absl::GetFlag(FLAGS_load_format);
  options.dummy_weights = load_format == "dummy";
  if (load_format != "auto" && load_format != "dummy") {
    return absl::InvalidArgumentError(
        absl::StrCat("--load-format '", load_format, "': must be auto or dummy"));
  }
  SLUICE_ASSIGN_OR_RETURN(options.device, ParseDevice(absl::GetFlag(FLAGS_device)));
  return absl::OkStatus();
}

absl::StatusOr<AllReduceMode> ParseAllReduce(const std::string& text) {
  if (text == "auto") return AllReduceMode::kAuto;
  if (text == "nccl") return AllReduceMode::kNccl;
  if (text == "peer") return AllReduceMode::kPeer;
  return absl::InvalidArgumentError(
      absl::StrCat("--all-reduce '", text, "': must be auto, nccl or peer"));
}

absl::Status FillGroup(WorkerOptions& options) {
  options.rank = absl::GetFlag(FLAGS_rank);
  options.tp_size = absl::GetFlag(FLAGS_tp_size);
  options.leader = absl::GetFlag(FLAGS_leader);
  SLUICE_ASSIGN_OR_RETURN(options.all_reduce, ParseAllReduce(absl::GetFlag(FLAGS_all_reduce)));
  options.listen = absl::GetFlag(FLAGS_listen);
  options.grpc_port = absl::GetFlag(FLAGS_grpc_port);
  options.metrics_port = absl::GetFlag(FLAGS_metrics_port);
  options.announce_fd = absl::GetFlag(FLAGS_announce_fd);
  SLUICE_RETURN_IF_ERROR(CheckRange("tp-size", options.tp_size, 1, 64));
  SLUICE_RETURN_IF_ERROR(CheckRange("rank", options.rank, -1, options.tp_size - 1));
  SLUICE_RETURN_IF_ERROR(CheckRange("grpc-port", options.grpc_port, 0, 65535));
  SLUICE_RETURN_IF_ERROR(
      CheckRange("metrics-port", options.metrics_port, 0, 65535 - options.tp_size));
  if (options.metrics_port > 0 && options.rank > 0) options.metrics_port += options.rank;
  if (options.rank > 0 && options.leader.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--leader is missing: rank ", options.rank, " needs rank 0's host:port"));
  }
  return absl::OkStatus();
}

absl::Status FillSpeculation(WorkerOptions& options) {
  const std::string speculation = absl::GetFlag(FLAGS_speculation);
  const int tokens = absl::GetFlag(FLAGS_speculative_tokens);
  options.speculation_max_rows = absl::GetFlag(FLAGS_speculation_max_rows);
  if (speculation != "off" && speculation != "prompt-lookup") {
    return absl::InvalidArgumentError(
        absl::StrCat("--speculation '", speculation, "': must be off or prompt-lookup"));
  }
  SLUICE_RETURN_IF_ERROR(CheckRange("speculative-tokens", tokens, 1, 8));
  SLUICE_RETURN_IF_ERROR(CheckRange("speculation-max-rows", options.speculation_max_rows, 0, 4096));
  options.speculative_tokens = speculation == "off" ? 0 : tokens;
  return absl::OkStatus();
}

absl::Status FillLimits(WorkerOptions& options) {
  options.max_num_seqs = absl::GetFlag(FLAGS_max_num_seqs);
  options.max_batched_tokens = absl::GetFlag(FLAGS_max_batched_tokens);
  options.max_queued_requests = absl::GetFlag(FLAGS_max_queued_requests);
  options.max_queued_tokens = absl::GetFlag(FLAGS_max_queued_tokens);
  options.prefix_cache = absl::GetFlag(FLAGS_prefix_cache);
  options.threads = absl::GetFlag(FLAGS_threads);
  SLUICE_ASSIGN_OR_RETURN(options.kv_cache_bytes, ParseBytes(absl::GetFlag(FLAGS_kv_cache_memory)));
  options.gpu_memory_utilization = absl::GetFlag(FLAGS_gpu_memory_utilization);
  if (!(options.gpu_memory_utilization > 0 && options.gpu_memory_utilization <= 1)) {
    return absl::InvalidArgumentError(absl::StrCat("--gpu-memory-utilization ",
                                                   options.gpu_memory_utilization,
                                                   ": must be above 0 and at most 1"));
  }
  // What is 0 here, and how the two go together, ResolveDevice settles.
  SLUICE_RETURN_IF_ERROR(CheckRange("max-num-seqs", options.max_num_seqs, 0, 4096));
  SLUICE_RETURN_IF_ERROR(CheckRange("max-batched-tokens", options.max_batched_tokens, 0, 1 << 16));
  options.max_prefill_tokens = options.max_batched_tokens;
  SLUICE_RETURN_IF_ERROR(
      CheckRange("max-queued-requests", options.max_queued_requests, 0, 1 << 20));
  SLUICE_RETURN_IF_ERROR(
      CheckRange("max-queued-tokens", options.max_queued_tokens, 0, int64_t{1} << 40));
  SLUICE_RETURN_IF_ERROR(CheckRange("threads", options.threads, 0, 1024));
  const std::string logprobs_mode = absl::GetFlag(FLAGS_logprobs_mode);
  options.processed_logprobs = logprobs_mode == "processed";
  if (logprobs_mode != "raw" && logprobs_mode != "processed") {
    return absl::InvalidArgumentError(
        absl::StrCat("--logprobs-mode '", logprobs_mode, "': must be raw or processed"));
  }
  const int drain = absl::GetFlag(FLAGS_drain_timeout);
  const int step = absl::GetFlag(FLAGS_step_timeout);
  SLUICE_RETURN_IF_ERROR(CheckRange("drain-timeout", drain, 0, 86400));
  SLUICE_RETURN_IF_ERROR(CheckRange("step-timeout", step, 1, 86400));
  options.drain_timeout = std::chrono::seconds(drain);
  options.step_timeout = std::chrono::seconds(step);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<WorkerConfig> ParseConfig(const std::vector<std::string>& arguments) {
  WorkerConfig config;
  config.arguments = arguments;
  config.help = Contains(arguments, "--help") || Contains(arguments, "-h");
  config.version = Contains(arguments, "--version");
  if (config.help || config.version) return config;
  SLUICE_ASSIGN_OR_RETURN(const std::vector<Assignment> assignments, SplitArguments(arguments));
  for (const Assignment& assignment : assignments) {
    if (assignment.name == "config") SLUICE_RETURN_IF_ERROR(ReadYaml(assignment.value));
  }
  for (const Assignment& assignment : assignments) {
    SLUICE_RETURN_IF_ERROR(SetFlag(assignment.name, assignment.value));
  }
  SLUICE_RETURN_IF_ERROR(FillModel(config.options));
  SLUICE_RETURN_IF_ERROR(FillGroup(config.options));
  SLUICE_RETURN_IF_ERROR(FillLimits(config.options));
  SLUICE_RETURN_IF_ERROR(FillSpeculation(config.options));
  config.check = absl::GetFlag(FLAGS_check);
  const std::string log_format = absl::GetFlag(FLAGS_log_format);
  if (log_format != "text" && log_format != "json") {
    return absl::InvalidArgumentError(
        absl::StrCat("--log-format '", log_format, "': must be text or json"));
  }
  config.log_format = log_format == "json" ? LogFormat::kJson : LogFormat::kText;
  return config;
}

std::string ConfigHelp() {
  std::string text =
      "Usage: sluice-worker --model DIR [flags]\n\n"
      "Serves token ids over gRPC (sluice.worker.v1.Engine) from one model on --tp-size "
      "tensor-parallel ranks.\n"
      "Without --rank it launches all ranks on this host and starts the group again when one dies. "
      "SIGTERM drains.\n"
      "Exit codes: 0 stopped, 1 failed, 2 flags, model folder or machine do not go together.\n\n"
      "Flags:\n";
  for (const char* name : kFlags) {
    const absl::CommandLineFlag* flag = absl::FindCommandLineFlag(name);
    const std::string value = flag->DefaultValue();
    absl::StrAppend(&text, "  --", Dashes(name));
    if (!value.empty()) absl::StrAppend(&text, " (default ", value, ")");
    absl::StrAppend(&text, "\n      ", flag->Help(), "\n");
  }
  return text;
}

}  // namespace sluice::worker
