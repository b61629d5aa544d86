// SPDX-License-Identifier: Apache-2.0
#include "gateway/cli/serve_options.h"

#include <charconv>
#include <fstream>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "proto/wire/status_macros.h"

namespace sluice::gateway {
namespace {

enum Receiver : int { kUs = 0, kWorker = 1, kGateway = 2, kBoth = 3 };

struct ServeOption {
  OptionSpec spec;
  Receiver receiver;
};

const std::vector<ServeOption>& Table() {
  static const auto* table = new std::vector<ServeOption>{
      {{"config", "FILE", "YAML file of these options, read by both servers."}, kBoth},
      {{"tp-size", "N", "Tensor-parallel ranks, one process each: 1, 2, 4 or 8. Default 1."},
       kWorker},
      {{"device", "auto|cpu|cuda", "Where the model runs. Default auto."}, kWorker},
      {{"max-model-len", "N", "Longest prompt plus answer, in tokens. Default: the model's."},
       kWorker},
      {{"rope-scaling", "JSON", "YaRN scaling, in place of the model's own."}, kWorker},
      {{"max-num-seqs", "N", "Most sequences that run at once."}, kWorker},
      {{"max-batched-tokens", "N", "Most tokens in one step."}, kWorker},
      {{"max-queued-requests", "N", "Most requests that wait; more are refused."}, kWorker},
      {{"max-queued-tokens", "N", "Most prompt tokens that wait; more are refused."}, kWorker},
      {{"speculation", "off|prompt-lookup",
        "Whether repeated text is computed several tokens at once."},
       kWorker},
      {{"speculative-tokens", "N", "Most tokens that a sequence guesses in a step, 1 to 8."},
       kWorker},
      {{"speculation-max-rows", "N", "No guessing while more sequences run."}, kWorker},
      {{"kv-cache-memory", "SIZE", "KV cache of each rank: bytes, or with KiB, MiB, GiB."},
       kWorker},
      {{"gpu-memory-utilization", "PART", "Part of each GPU's memory that may be in use."}, kWorker},
      {{"prefix-cache", "true|false", "Reuse KV pages of prompts that begin alike. Default true."},
       kWorker},
      {{"no-prefix-cache", "", "The same as --prefix-cache=false."}, kUs},
      {{"threads", "N", "Threads of each rank. Default: the cores divided by the ranks."}, kWorker},
      {{"logprobs-mode", "raw|processed",
        "Log probabilities of the model's logits, or of what was drawn from. Default raw."},
       kWorker},
      {{"step-timeout", "SECONDS", "Without progress for so long, the group is restarted."},
       kWorker},
      {{"load-format", "auto|dummy", "dummy: random weights of the config's shapes."}, kWorker},
      {{"served-model-name", "NAME", "The model's name in the API. Default: the folder's."}, kBoth},
      {{"listen", "ADDRESS", "What the gateway's ports bind. Default 0.0.0.0: every interface."},
       kGateway},
      {{"http-port", "N", "OpenAI API. Default 8000; 0: any free one."}, kUs},
      {{"grpc-port", "N", "gRPC API. Default 50051, or a free one where that is taken."}, kUs},
      {{"metrics-port", "N", "Prometheus. Default 9090, or a free one where that is taken."}, kUs},
      {{"sampling-defaults", "model|mode", "Where unset sampling parameters come from."}, kGateway},
      {{"trust-user-control-tokens", "", "Let clients write control tokens."}, kGateway},
      {{"api-keys-file", "FILE", "Only these bearer tokens may ask."}, kGateway},
      {{"max-body-bytes", "N", "Largest request. Default 16 MiB."}, kGateway},
      {{"max-unsent-bytes", "N",
        "Most bytes of one answer that wait for a slow client before its work is cancelled. "
        "Default 4 MiB."},
       kGateway},
      {{"drain-timeout", "SECONDS", "How long running requests may go on at a stop. Default 30."},
       kBoth},
      {{"log-format", "text|json", "Default text."}, kBoth},
      {{"log-level", "debug|info|warning|error", "Of the gateway. Default info."}, kGateway},
      {{"help", "", "Show this."}, kUs},
  };
  return *table;
}

std::vector<OptionSpec> Specs() {
  std::vector<OptionSpec> specs;
  for (const ServeOption& option : Table()) specs.push_back(option.spec);
  return specs;
}

absl::Status ReadPort(const ParsedOptions& parsed, const char* name, ServeOptions::Port* port) {
  if (!parsed.Has(name)) return absl::OkStatus();
  port->given = true;
  const std::string text = parsed.Get(name);
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port->number);
  const bool whole = error == std::errc() && end == text.data() + text.size();
  if (!whole || port->number < 0 || port->number > 65535) {
    return absl::InvalidArgumentError(
        absl::StrCat("--", name, " must be a port from 0 to 65535, not '", text, "'"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ServeOptions> ParseServeOptions(const std::vector<std::string>& args) {
  SLUICE_ASSIGN_OR_RETURN(const ParsedOptions parsed, ParseOptions(args, Specs()));
  ServeOptions options;
  options.help = parsed.Has("help");
  if (options.help) return options;
  options.config_file = parsed.Get("config");
  if (parsed.positional.empty() && options.config_file.empty()) {
    return absl::InvalidArgumentError(
        "give the model's folder: MODEL_DIR, or --config FILE with a line 'model: MODEL_DIR'");
  }
  if (parsed.positional.size() > 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("one model folder is served, but there are ", parsed.positional.size(), ": '",
                     parsed.positional[0], "' and '", parsed.positional[1], "'"));
  }
  options.model = absl::StrCat("the model of ", options.config_file);
  if (!parsed.positional.empty()) {
    options.model = parsed.positional[0];
    options.worker_args = options.gateway_args = {absl::StrCat("--model=", options.model)};
  }
  for (const ServeOption& option : Table()) {
    const std::string name(option.spec.name);
    if (!parsed.Has(name)) continue;
    const std::string flag = absl::StrCat("--", name, "=", parsed.Get(name));
    if (option.receiver & kWorker) options.worker_args.push_back(flag);
    if (option.receiver & kGateway) options.gateway_args.push_back(flag);
  }
  if (parsed.Has("no-prefix-cache")) options.worker_args.push_back("--prefix-cache=false");
  SLUICE_RETURN_IF_ERROR(ReadPort(parsed, "http-port", &options.http));
  SLUICE_RETURN_IF_ERROR(ReadPort(parsed, "grpc-port", &options.grpc));
  SLUICE_RETURN_IF_ERROR(ReadPort(parsed, "metrics-port", &options.metrics));
  return options;
}

absl::Status CheckConfigFile(const ServeOptions& options) {
  if (options.config_file.empty() || std::ifstream(options.config_file)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("--config ", options.config_file, " cannot be read"));
}

std::string ServeHelp() {
  return absl::StrCat(
      "Usage: sluice serve MODEL_DIR [OPTION]...\n"
      "       sluice serve --config FILE [OPTION]...   (the file names the model)\n"
      "Serves a Hugging Face model folder on this host: a worker group and a gateway. Ctrl-C "
      "drains "
      "and stops.\n\n",
      OptionsHelp(Specs()));
}

std::string CheckHelp() {
  return absl::StrCat(
      "Usage: sluice check MODEL_DIR [OPTION]...\n"
      "       sluice check --config FILE [OPTION]...   (the file names the model)\n"
      "Validates a model folder and a configuration without serving: weights, shards, tokenizer "
      "and "
      "chat template.\nTakes the options of serve; ports are not looked at.\n\n",
      OptionsHelp(Specs()));
}

}  // namespace sluice::gateway
