// SPDX-License-Identifier: Apache-2.0
#include "gateway/cli/bench/bench_options.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "gateway/cli/command_line.h"
#include "proto/wire/status_macros.h"

namespace sluice::gateway {
namespace {

constexpr uint64_t kDefaultRequests = 100;

struct OptionGroup {
  const char* title;
  std::vector<OptionSpec> options;
};

const std::vector<OptionGroup>& Groups() {
  static const auto* groups = new std::vector<OptionGroup>{
      {"What to measure",
       {{"url", "URL", "An OpenAI-compatible server. Default http://localhost:8000."},
        {"endpoint", "chat|completions", "Which of its routes. Default chat."},
        {"grpc", "HOST:PORT", "Sluice's gRPC Chat instead."},
        {"model", "NAME", "Default: the first one that the server lists."},
        {"api-key", "KEY", "Sent as a bearer token. Default: the environment's SLUICE_API_KEY."}}},
      {"The load",
       {{"concurrency", "N", "Closed loop: so many requests run at any time. Default 1."},
        {"request-rate", "R|inf",
         "Open loop: so many requests a second on average, at random times (Poisson), however many "
         "still run. inf: all at once."},
        {"num-requests", "N",
         "Default 100, or as many as --prompts holds; with --duration no limit."},
        {"duration", "SECONDS", "Send nothing after so long; what runs then is waited for."},
        {"warmup", "N", "Requests before the measuring, not counted. Default 1."},
        {"timeout", "SECONDS", "A request that takes longer has failed. Default 600."}}},
      {"What is asked",
       {{"prompt-tokens", "LENGTHS",
         "Length of random prompts, the chat template included. Default 256."},
        {"output-tokens", "LENGTHS", "Most tokens of an answer. Default 128."},
        {"shared-prefix-tokens", "N",
         "Tokens that prompts begin with in common, before --prompt-tokens. Default 0."},
        {"num-prefixes", "N", "Different shared prefixes; each request takes one. Default 1."},
        {"prompts", "FILE",
         "Prompts of a file in its order, over again when used up, instead of random ones."},
        {"ignore-eos", "",
         "Answers of exactly --output-tokens, where the server knows ignore_eos (vLLM, SGLang, "
         "llama.cpp and Sluice do)."},
        {"temperature", "X", "0 is greedy. Default: the server's."},
        {"sampling-seed", "N", "Sent with every request. Default: none."},
        {"extra-body", "JSON", "An object whose fields every HTTP request carries."},
        {"continuous-usage", "",
         "Ask for token counts in every chunk (vLLM and Sluice): exact inter-token latencies where "
         "chunks carry several tokens."},
        {"seed", "N", "Of prompts, lengths and arrival times. Default 0."}}},
      {"The report",
       {{"json", "FILE", "Write the figures there too, as JSON. -: to standard output, alone."},
        {"slo-ttft-ms", "X", "Goodput: a good request's first token comes within X."},
        {"slo-itl-ms", "X", "Goodput: a good request's mean time per output token is at most X."},
        {"quiet", "", "No progress."},
        {"help", "", "Show this."}}}};
  return *groups;
}

constexpr char kUsage[] =
    "Usage: sluice bench [OPTION]...\n"
    "Puts a load on a server and reports how it answered: time to first token, inter-token and\n"
    "end-to-end latency, tokens/s, errors. Speaks to any OpenAI-compatible server (vLLM, SGLang,\n"
    "llama.cpp, Sluice; plain http), and to Sluice over gRPC. Ctrl-C reports what was measured so\n"
    "far.\n\n";

constexpr char kNotes[] =
    "LENGTHS, in tokens: N, uniform:LOW-HIGH, normal:MEAN,DEVIATION or lognormal:MEAN,DEVIATION;\n"
    "the last two may end in ,LOW-HIGH.\n"
    "A file of prompts holds JSON lines, or one JSON array: objects with \"prompt\" or "
    "\"messages\",\n"
    "and \"max_tokens\" if they like; ShareGPT exports do as well.\n\n"
    "Examples\n"
    "  32 clients, each asking again when it has its answer:\n"
    "    sluice bench --url http://host:8000 --concurrency 32 --num-requests 500 --ignore-eos\n"
    "  8 requests a second for two minutes, lengths as in a chat, kept as JSON:\n"
    "    sluice bench --request-rate 8 --duration 120 --prompt-tokens lognormal:600,500,16-4000 "
    "\\\n"
    "      --output-tokens lognormal:250,200,1-1000 --json result.json\n"
    "  What the prefix cache brings: 4 system prompts of 2,000 tokens:\n"
    "    sluice bench --shared-prefix-tokens 2000 --num-prefixes 4 --concurrency 16\n"
    "  How much meets your objectives:\n"
    "    sluice bench --request-rate 20 --num-requests 1000 --slo-ttft-ms 500 --slo-itl-ms 50\n"
    "  Your own prompts over gRPC:\n"
    "    sluice bench --grpc host:50051 --prompts prompts.jsonl --concurrency 8\n\n"
    "Ends with 0 when a request finished, 1 when none did, 2 for a wrong option, 130 after "
    "Ctrl-C.\n";

absl::Status Wrong(const std::string& message) { return absl::InvalidArgumentError(message); }

// A whole number from `least`; *value stays where the option was not given.
template <typename Int>
absl::Status ReadWhole(const ParsedOptions& parsed, const char* name, Int least, Int* value) {
  SLUICE_ASSIGN_OR_RETURN(const std::optional<Int> given, IntOption<Int>(parsed, name));
  if (!given.has_value()) return absl::OkStatus();
  if (*given < least) return Wrong(absl::StrCat("--", name, " must be at least ", least));
  *value = *given;
  return absl::OkStatus();
}

absl::Status ReadPositive(const ParsedOptions& parsed, const char* name,
                          std::optional<double>* value) {
  SLUICE_ASSIGN_OR_RETURN(*value, NumberOption(parsed, name));
  if (value->has_value() && !(**value > 0))
    return Wrong(absl::StrCat("--", name, " must be above 0"));
  return absl::OkStatus();
}

absl::Status ReadLengths(const ParsedOptions& parsed, const char* name, const char* otherwise,
                         LengthDistribution* lengths) {
  auto read = LengthDistribution::Parse(parsed.Get(name, otherwise));
  if (!read.ok()) return Wrong(absl::StrCat("--", name, ": ", read.status().message()));
  *lengths = *std::move(read);
  return absl::OkStatus();
}

absl::Status RefuseTogether(const ParsedOptions& parsed, const char* one,
                            const std::vector<const char*>& others, const char* why) {
  if (!parsed.Has(one)) return absl::OkStatus();
  for (const char* other : others) {
    if (parsed.Has(other)) {
      return Wrong(absl::StrCat("--", one, " and --", other, " do not go together: ", why));
    }
  }
  return absl::OkStatus();
}

absl::Status ReadTarget(const ParsedOptions& parsed, const std::string& api_key,
                        BenchOptions* options) {
  SLUICE_RETURN_IF_ERROR(RefuseTogether(
      parsed, "grpc", {"url", "endpoint", "extra-body", "continuous-usage"}, "it is of HTTP"));
  options->grpc_address = parsed.Get("grpc");
  if (parsed.Has("grpc") && options->grpc_address.find(':') == std::string::npos) {
    return Wrong(absl::StrCat("--grpc must be HOST:PORT, not '", options->grpc_address, "'"));
  }
  SLUICE_ASSIGN_OR_RETURN(options->url, ParseHttpUrl(parsed.Get("url", "http://localhost:8000")));
  // As OpenAI's clients are given it.
  std::string& path = options->url.path;
  if (path.size() >= 3 && path.substr(path.size() - 3) == "/v1") path.resize(path.size() - 3);
  const std::string endpoint = parsed.Get("endpoint", "chat");
  if (endpoint != "chat" && endpoint != "completions") {
    return Wrong(absl::StrCat("--endpoint is chat or completions, not '", endpoint, "'"));
  }
  options->endpoint = endpoint == "chat" ? HttpEndpoint::kChat : HttpEndpoint::kCompletions;
  GenerationSettings& generation = options->generation;
  generation.model = parsed.Get("model");
  generation.api_key = parsed.Get("api-key", api_key);
  generation.ignore_eos = parsed.Has("ignore-eos");
  generation.continuous_usage = parsed.Has("continuous-usage");
  generation.extra_body = parsed.Get("extra-body", "{}");
  SLUICE_ASSIGN_OR_RETURN(generation.temperature, NumberOption(parsed, "temperature"));
  SLUICE_ASSIGN_OR_RETURN(generation.sampling_seed, IntOption<uint64_t>(parsed, "sampling-seed"));
  return absl::OkStatus();
}

absl::Status ReadLoad(const ParsedOptions& parsed, BenchOptions* options) {
  SLUICE_RETURN_IF_ERROR(RefuseTogether(parsed, "request-rate", {"concurrency"},
                                        "one is an open loop, the other a closed one"));
  SLUICE_RETURN_IF_ERROR(ReadWhole(parsed, "concurrency", 1, &options->concurrency));
  if (parsed.Get("request-rate") == "inf") {
    options->requests_per_second = std::numeric_limits<double>::infinity();
  } else {
    SLUICE_RETURN_IF_ERROR(ReadPositive(parsed, "request-rate", &options->requests_per_second));
  }
  SLUICE_ASSIGN_OR_RETURN(options->num_requests, IntOption<uint64_t>(parsed, "num-requests"));
  if (options->num_requests == 0) return Wrong("--num-requests must be at least 1");
  std::optional<double> seconds;
  SLUICE_RETURN_IF_ERROR(ReadPositive(parsed, "duration", &seconds));
  if (seconds.has_value()) options->duration.emplace(*seconds);
  const bool all_at_once = std::isinf(options->requests_per_second.value_or(0));
  if (all_at_once && options->duration.has_value() && !options->num_requests.has_value()) {
    return Wrong("--request-rate inf needs --num-requests: all at once has no duration");
  }
  SLUICE_RETURN_IF_ERROR(ReadPositive(parsed, "timeout", &seconds));
  if (seconds.has_value()) options->request_timeout = std::chrono::duration<double>(*seconds);
  return ReadWhole(parsed, "warmup", 0, &options->warmup);
}

absl::Status ReadWorkload(const ParsedOptions& parsed, BenchOptions* options) {
  SLUICE_RETURN_IF_ERROR(RefuseTogether(parsed, "prompts",
                                        {"prompt-tokens", "shared-prefix-tokens", "num-prefixes"},
                                        "the file says what is asked"));
  if (parsed.Has("num-prefixes") && !parsed.Has("shared-prefix-tokens")) {
    return Wrong("--num-prefixes needs --shared-prefix-tokens");
  }
  options->prompts_file = parsed.Get("prompts");
  WorkloadOptions& workload = options->workload;
  SLUICE_RETURN_IF_ERROR(ReadLengths(parsed, "prompt-tokens", "256", &workload.prompt_tokens));
  SLUICE_RETURN_IF_ERROR(ReadLengths(parsed, "output-tokens", "128", &workload.output_tokens));
  SLUICE_RETURN_IF_ERROR(
      ReadWhole(parsed, "shared-prefix-tokens", 0, &workload.shared_prefix_tokens));
  SLUICE_RETURN_IF_ERROR(ReadWhole(parsed, "num-prefixes", 1, &workload.num_prefixes));
  return ReadWhole(parsed, "seed", uint64_t{0}, &workload.seed);
}

}  // namespace

absl::StatusOr<BenchOptions> ParseBenchOptions(const std::vector<std::string>& args,
                                               const std::string& api_key) {
  std::vector<OptionSpec> specs;
  for (const OptionGroup& group : Groups()) {
    specs.insert(specs.end(), group.options.begin(), group.options.end());
  }
  SLUICE_ASSIGN_OR_RETURN(const ParsedOptions parsed, ParseOptions(args, specs));
  BenchOptions options;
  options.help = parsed.Has("help");
  if (options.help) return options;
  if (!parsed.positional.empty()) {
    return Wrong(absl::StrCat("unexpected argument '", parsed.positional[0],
                              "'; the server is given as --url URL or --grpc HOST:PORT"));
  }
  SLUICE_RETURN_IF_ERROR(ReadTarget(parsed, api_key, &options));
  SLUICE_RETURN_IF_ERROR(ReadLoad(parsed, &options));
  SLUICE_RETURN_IF_ERROR(ReadWorkload(parsed, &options));
  SLUICE_RETURN_IF_ERROR(ReadPositive(parsed, "slo-ttft-ms", &options.objectives.ttft_ms));
  SLUICE_RETURN_IF_ERROR(ReadPositive(parsed, "slo-itl-ms", &options.objectives.itl_ms));
  options.json_file = parsed.Get("json");
  options.quiet = parsed.Has("quiet");
  if (options.prompts_file.empty() && !options.duration.has_value() &&
      !options.num_requests.has_value()) {
    options.num_requests = kDefaultRequests;
  }
  for (const auto& [name, value] : parsed.values) {
    if (name != "api-key") options.given.emplace_back(name, value);
  }
  return options;
}

std::string BenchHelp() {
  std::string help = kUsage;
  for (const OptionGroup& group : Groups()) {
    absl::StrAppend(&help, group.title, "\n", OptionsHelp(group.options), "\n");
  }
  return help + kNotes;
}

}  // namespace sluice::gateway
