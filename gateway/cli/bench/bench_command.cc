// SPDX-License-Identifier: Apache-2.0
#include "gateway/cli/bench/bench_command.h"

#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <ctime>
#include <fstream>
#include <iostream>
#include <memory>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "gateway/cli/bench/bench_options.h"
#include "gateway/cli/bench/grpc_target.h"
#include "gateway/cli/bench/load_driver.h"
#include "gateway/cli/bench/progress.h"
#include "gateway/cli/bench/prompt_file.h"
#include "gateway/cli/bench/report.h"
#include "gateway/cli/bench/tokenize.h"
#include "gateway/cli/chat_client.h"
#include "gateway/cli/interrupt.h"
#include "proto/wire/status_macros.h"

namespace sluice::gateway {
namespace {

constexpr int kMostWarmupAtOnce = 64;

// Every running request over HTTP has a connection.
void RaiseDescriptorLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

double CpuSeconds() {
  timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

std::string NowUtc() {
  const time_t now = time(nullptr);
  tm parts{};
  gmtime_r(&now, &parts);
  char text[32];
  strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

// One `sluice bench` from options to report.
class Bench {
 public:
  Bench(BenchOptions options, const Terminal& terminal, int interrupt_fd)
      : options_(std::move(options)), terminal_(terminal), interrupt_fd_(interrupt_fd) {}

  // CANCELLED when interrupted before anything was measured.
  absl::Status Prepare() {
    if (!options_.prompts_file.empty()) SLUICE_RETURN_IF_ERROR(ReadPrompts());
    SLUICE_RETURN_IF_ERROR(Connect());
    if (workload_ == nullptr) SLUICE_RETURN_IF_ERROR(ShapePrompts());
    return WarmUp();
  }

  // REQUIRES: Prepare was OK.
  LoadRun Measure(BenchDescription* description) {
    LoadPlan plan = PlanOf([this](uint64_t index) { return workload_->Make(index); });
    plan.concurrency = options_.concurrency;
    plan.requests_per_second = options_.requests_per_second;
    plan.num_requests = options_.num_requests;
    plan.duration = options_.duration;
    Describe(description);
    const double cpu_before = CpuSeconds();
    LoadRun run = Execute(std::move(plan), "measuring");
    description->client_cpu_s = CpuSeconds() - cpu_before;
    description->client_wall_s = run.totals.elapsed.count();
    description->interrupted = run.interrupted;
    return run;
  }

 private:
  bool over_grpc() const { return !options_.grpc_address.empty(); }

  absl::Status ReadPrompts() {
    SLUICE_ASSIGN_OR_RETURN(std::vector<LoadRequest> prompts,
                            ReadPromptFile(options_.prompts_file));
    for (const LoadRequest& prompt : prompts) {
      if (!over_grpc() && options_.endpoint == HttpEndpoint::kCompletions &&
          !prompt.messages.empty()) {
        return absl::InvalidArgumentError(
            "--endpoint completions takes prompts, but the file holds messages");
      }
    }
    if (!options_.num_requests.has_value() && !options_.duration.has_value()) {
      options_.num_requests = prompts.size();
    }
    prompt_source_ = absl::StrCat(prompts.size(), " prompts of ", options_.prompts_file);
    lengths_by_ = "the file";
    workload_ = std::make_unique<Workload>(options_.workload, std::move(prompts));
    return absl::OkStatus();
  }

  absl::Status Connect() {
    if (over_grpc()) {
      target_ = std::make_unique<GrpcTarget>(options_.grpc_address, options_.generation);
      return absl::OkStatus();
    }
    if (options_.generation.model.empty()) {
      SLUICE_ASSIGN_OR_RETURN(options_.generation.model,
                              FirstServedModel(options_.url, options_.generation.api_key));
    }
    SLUICE_ASSIGN_OR_RETURN(
        target_, HttpTarget::Create(options_.url, options_.endpoint, options_.generation));
    return absl::OkStatus();
  }

  // How long texts come out on this server: by its /tokenize, else by what it says of two requests
  // for one token, else by assuming.
  absl::Status ShapePrompts() {
    absl::StatusOr<PromptShape> shape = absl::UnimplementedError("");
    if (!over_grpc()) {
      shape = MeasureExactPromptShape([this](const std::string& text) {
        return CountTokens(options_.url, options_.endpoint, options_.generation, text,
                           interrupt_fd_);
      });
    }
    if (!shape.ok() && !absl::IsCancelled(shape.status())) {
      shape = MeasurePromptShape([this](const std::string& text) { return CountByAsking(text); });
    }
    if (absl::IsCancelled(shape.status())) return shape.status();
    if (!shape.ok()) shape = AssumedPromptShape();
    prompt_source_ = "random words";
    lengths_by_ = shape->how;
    workload_ = std::make_unique<Workload>(options_.workload, *std::move(shape));
    return absl::OkStatus();
  }

  absl::StatusOr<int64_t> CountByAsking(const std::string& text) {
    LoadPlan plan = PlanOf([&text](uint64_t) {
      LoadRequest request;
      request.prompt = text;
      return request;
    });
    plan.num_requests = 1;
    const LoadRun run = Execute(std::move(plan), "counting tokens");
    if (run.interrupted) return absl::CancelledError("interrupted");
    const int64_t tokens = run.records.front().usage.prompt_tokens;
    if (tokens < 0) return absl::UnimplementedError("the server sends no usage");
    return tokens;
  }

  absl::Status WarmUp() {
    if (options_.warmup == 0) return absl::OkStatus();
    // Requests that the measurement does not send again: a warm prefix cache would flatter it.
    constexpr uint64_t kElsewhere = uint64_t{1} << 40;
    LoadPlan plan = PlanOf([this](uint64_t index) { return workload_->Make(kElsewhere + index); });
    plan.concurrency = std::min(options_.warmup, kMostWarmupAtOnce);
    plan.num_requests = static_cast<uint64_t>(options_.warmup);
    const LoadRun run = Execute(std::move(plan), "warming up");
    if (run.interrupted) return absl::CancelledError("interrupted");
    if (run.totals.finished > 0) return absl::OkStatus();
    const RequestRecord& record = run.records.front();
    return absl::UnavailableError(
        absl::StrCat("no warm-up request finished: ",
                     record.ending == Ending::kRefused ? "refused" : record.error_kind, ": ",
                     record.error_detail));
  }

  LoadPlan PlanOf(std::function<LoadRequest(uint64_t)> make_request) const {
    LoadPlan plan;
    plan.make_request = std::move(make_request);
    plan.seed = options_.workload.seed;
    plan.request_timeout = options_.request_timeout;
    return plan;
  }

  LoadRun Execute(LoadPlan plan, const char* title) {
    std::optional<ProgressLine> line;
    if (!options_.quiet) line.emplace(terminal_, STDERR_FILENO, title);
    return LoadDriver(target_.get(), std::move(plan),
                      [this, &line](const LoadProgress& progress) {
                        if (line.has_value()) line->Show(progress);
                        return !DrainInterrupts(interrupt_fd_);
                      })
        .Run();
  }

  void Describe(BenchDescription* description) const {
    const HttpUrl& url = options_.url;
    description->target = over_grpc() ? absl::StrCat("grpc://", options_.grpc_address)
                                      : absl::StrCat("http://", url.host, ":", url.port, url.path);
    description->endpoint = over_grpc()                                ? "grpc"
                            : options_.endpoint == HttpEndpoint::kChat ? "chat"
                                                                       : "completions";
    description->model = options_.generation.model;
    const std::optional<double>& rate = options_.requests_per_second;
    description->load =
        !rate.has_value()   ? absl::StrFormat("Closed loop, %d at once", options_.concurrency)
        : std::isinf(*rate) ? "Open loop, all at once"
                            : absl::StrFormat("Open loop, %g requests/s (Poisson)", *rate);
    const WorkloadOptions& workload = options_.workload;
    description->workload = prompt_source_;
    if (options_.prompts_file.empty()) {
      absl::StrAppend(&description->workload, ", prompts ", workload.prompt_tokens.text());
      if (workload.shared_prefix_tokens > 0) {
        absl::StrAppend(&description->workload, " after one of ", workload.num_prefixes,
                        " prefixes of ", workload.shared_prefix_tokens);
      }
    }
    absl::StrAppend(&description->workload, ", answers up to ", workload.output_tokens.text());
    description->lengths = lengths_by_;
    description->started = NowUtc();
    description->options = options_.given;
  }

  BenchOptions options_;
  const Terminal terminal_;
  const int interrupt_fd_;
  std::unique_ptr<LoadTarget> target_;
  std::unique_ptr<const Workload> workload_;
  std::string prompt_source_;
  std::string lengths_by_;
};

int Fail(const absl::Status& status, const Terminal& terminal) {
  if (absl::IsCancelled(status)) {
    std::cerr << "sluice bench: stopped before anything was measured\n";
    return 130;
  }
  std::cerr << terminal.Red() << "sluice bench: " << status.message() << terminal.Reset() << "\n";
  return absl::IsInvalidArgument(status) ? 2 : 1;
}

absl::Status WriteJson(const std::string& path, const std::string& json) {
  if (path == "-") {
    std::cout << json << std::flush;
    return absl::OkStatus();
  }
  std::ofstream file(path);
  file << json << std::flush;
  if (file) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat("cannot write ", path));
}

}  // namespace

int RunBench(const std::vector<std::string>& args, const Terminal& terminal,
             const std::string& api_key, const std::string& version) {
  const absl::StatusOr<BenchOptions> options = ParseBenchOptions(args, api_key);
  if (!options.ok()) return Fail(options.status(), terminal);
  if (options->help) {
    std::cout << BenchHelp();
    return 0;
  }
  RaiseDescriptorLimit();
  signal(SIGPIPE, SIG_IGN);
  const int interrupt_fd = MakeInterruptFd();
  Bench bench(*options, terminal, interrupt_fd);
  const absl::Status ready = bench.Prepare();
  if (!ready.ok()) return Fail(ready, terminal);
  BenchDescription description;
  description.version = version;
  const LoadRun run = bench.Measure(&description);
  const Measurement measured = Measure(run, options->objectives);
  (options->json_file == "-" ? std::cerr : std::cout)
      << ReportTable(description, measured) << std::flush;
  if (!options->json_file.empty()) {
    const absl::Status written = WriteJson(options->json_file, ReportJson(description, measured));
    if (!written.ok()) return Fail(written, terminal);
  }
  if (run.interrupted) return 130;
  return measured.finished > 0 ? 0 : 1;
}

}  // namespace sluice::gateway
