// SPDX-License-Identifier: Apache-2.0
// Tokens per second of the engine on GPUs, without gateway or network: the real scheduler,
// executors and graphs, random weights at the 14B's shapes, random prompts. For each case the
// median over steps (decode) or runs (prefill), the floor that the bytes and operations of the case
// give, and the fraction of it; for decoding also how long the device was idle between steps.
// Prints JSON.
//
// Positions are YaRN's, which reach 131,072; that costs nothing at other lengths.
//
// cuda_engine_bench --help has the options.
#include <algorithm>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <regex>
#include <string>
#include <thread>
#include <vector>

#include "tests/bench/gpu_limits.h"
#include "tests/bench/rank_threads.h"
#include "tests/bench/usage.h"
#include "tests/support/device_communicators.h"
#include "tests/support/qwen3_14b_config.h"
#include "worker/engine/engine.h"
#include "worker/executor/cuda/cuda_executor.h"

namespace sluice::worker {
namespace {

using std::chrono::nanoseconds;
using Time = std::chrono::steady_clock;

constexpr int kContext = 131'072;  // the longest case and its output, in pages
constexpr char kYarn[] =
    R"({"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768})";
constexpr int kMaxRows = 256;

[[noreturn]] void Fail(const std::string& what) {
  std::fprintf(stderr, "cuda_engine_bench: %s\n", what.c_str());
  std::exit(1);
}
void Check(const absl::Status& status) {
  if (!status.ok()) Fail(std::string(status.message()));
}

// Times of steps in which `rows` rows decode and nothing else happens.
class StepTimes final : public EngineEvents {
 public:
  struct Samples {
    std::vector<double> interval;  // seconds, host: from one step's end to the next's
    std::vector<double> idle;      // seconds, device
  };

  void Watch(int rows) {
    const std::lock_guard lock(mutex_);
    rows_ = rows;
    samples_ = {};
    last_.reset();
  }
  Samples Take() {
    const std::lock_guard lock(mutex_);
    return std::move(samples_);
  }

  void OnStep(const StepStats& stats) override {
    const std::lock_guard lock(mutex_);
    const Time::time_point now = Time::now();
    const bool counts = stats.prefill_tokens == 0 && stats.decode_tokens == rows_;
    if (counts && last_) {
      samples_.interval.push_back(std::chrono::duration<double>(now - *last_).count());
      samples_.idle.push_back(std::chrono::duration<double>(stats.idle_duration).count());
    }
    last_ = counts ? std::optional(now) : std::nullopt;
  }
  void OnIdle(const SchedulerLoad&) override {}
  void OnRequestDone(const RequestStats&) override {}
  void OnRefused(const absl::Status& status) override { Check(status); }
  void OnBadLogits() override { Fail("a NaN or an infinity among the logits"); }

 private:
  std::mutex mutex_;
  int rows_ = 0;
  Samples samples_;
  std::optional<Time::time_point> last_;
};

class DoneSink final : public TokenSink {
 public:
  void OnChunk(ChoiceChunk) override {}
  void OnDone(const absl::Status& status) override {
    Check(status);
    const std::lock_guard lock(mutex_);
    done_ = true;
    changed_.notify_all();
  }
  void Wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return done_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool done_ = false;
};

double Median(std::vector<double> values) {
  if (values.empty()) Fail("nothing was measured");
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

// What the 14B reads at least in a decoding step: linears at 4 bits with their scales and zeros,
// the head in bf16, keys and values; and computes per token.
constexpr double kWeightBytes = 8.421e9;
constexpr double kKvBytesPerToken = 163'840;
constexpr double kLinearFlopsPerToken = 26.42e9;
constexpr double kAttentionFlopsPerPair = 4.0 * 40 * 128 * 40;  // a query and a key, all layers

class Bench {
 public:
  Bench(int tp_size, AllReduceMode all_reduce, const GpuLimits& limits)
      : tp_size_(tp_size), limits_(limits) {
    const std::string dir = testing::WriteQwen3_14BConfig(
        std::filesystem::temp_directory_path() / ("cuda_engine_bench." + std::to_string(getpid())));
    auto folder = ModelFolder::Open(
        {.dir = dir, .tp_size = tp_size, .rope_scaling = kYarn, .dummy_weights = true});
    Check(folder.status());
    folder_ = *std::move(folder);
    std::filesystem::remove_all(dir);
    auto communicators = StartDeviceCommunicators(tp_size, all_reduce);
    Check(communicators.status());
    communicators_ = *std::move(communicators);
    const Time::time_point start = Time::now();
    MakeExecutors();
    load_seconds_ = std::chrono::duration<double>(Time::now() - start).count();
    std::vector<Executor*> others;
    for (size_t rank = 1; rank < executors_.size(); ++rank) {
      others.push_back(executors_[rank].get());
    }
    if (others.empty()) {
      ranks_ = std::make_unique<SingleRankGroup>();
    } else {
      ranks_ = std::make_unique<RankThreads>(others);
    }
    MakeEngine();
  }
  ~Bench() {
    engine_->Stop();
    engine_.reset();
    ranks_.reset();
    executors_.clear();
    EndDeviceCommunicators(std::move(communicators_));
  }

  double load_seconds() const { return load_seconds_; }

  void Decode(const std::string& name, int rows, int context, int tokens) {
    times_.Watch(rows);
    Run(rows, context - tokens / 2, tokens);
    const StepTimes::Samples samples = times_.Take();
    const double step = Median(samples.interval);
    const double floor =
        (kWeightBytes + kKvBytesPerToken * rows * context) / tp_size_ / limits_.bandwidth;
    Print(name, rows / step, rows / floor);
    std::printf(", \"step_ms\": %.3f, \"idle_us\": %.1f, \"steps\": %zu}", step * 1e3,
                Median(samples.idle) * 1e6, samples.interval.size());
  }

  void Prefill(const std::string& name, int tokens, int runs) {
    std::vector<double> seconds;
    for (int run = 0; run < runs; ++run) {
      const Time::time_point start = Time::now();
      Run(1, tokens, 1);
      seconds.push_back(std::chrono::duration<double>(Time::now() - start).count());
    }
    const double flops =
        kLinearFlopsPerToken * tokens + kAttentionFlopsPerPair * tokens * (tokens + 1.0) / 2.0;
    Print(name, tokens / Median(seconds), tokens / (flops / tp_size_ / limits_.flops));
    std::printf(", \"ms\": %.1f, \"runs\": %d}", Median(seconds) * 1e3, runs);
  }

 private:
  void MakeExecutors() {
    executors_.resize(static_cast<size_t>(tp_size_));
    std::vector<std::thread> threads;
    for (int rank = 0; rank < tp_size_; ++rank) {
      threads.emplace_back([this, rank] {
        CudaExecutorOptions options;
        options.device_index = rank;
        options.max_rows = kMaxRows;
        options.max_batched_tokens = 8192;
        options.max_model_len = kContext;
        auto executor = CudaExecutor::Create(*folder_, options,
                                             communicators_[static_cast<size_t>(rank)].get());
        Check(executor.status());
        executors_[static_cast<size_t>(rank)] = *std::move(executor);
      });
    }
    for (std::thread& thread : threads) thread.join();
  }

  void MakeEngine() {
    EngineOptions options;
    int pages = executors_[0]->num_pages();
    for (const auto& executor : executors_) pages = std::min(pages, executor->num_pages());
    options.scheduler = {.max_rows = kMaxRows,
                         .max_batched_tokens = 2048,
                         .max_prefill_tokens = 8192,
                         .num_pages = pages,
                         .max_model_len = kContext,
                         .prefix_cache = false};
    options.bounds = {.max_sequences = 1024, .max_tokens = 1 << 20};
    options.limits.vocab_size = folder_->config().vocab_size;
    options.limits.max_model_len = kContext;
    options.on_failure = [](const absl::Status& status) { Check(status); };
    engine_ = std::make_unique<Engine>(options, *executors_[0], *ranks_, times_, clock_);
    engine_->Start();
  }

  // rows requests at once; returns when all have ended.
  void Run(int rows, int prompt_tokens, int output_tokens) {
    std::vector<std::shared_ptr<DoneSink>> sinks;
    for (int row = 0; row < rows; ++row) {
      EngineRequest request;
      request.prompt.resize(static_cast<size_t>(prompt_tokens));
      for (TokenId& id : request.prompt) id = static_cast<TokenId>(rng_() % 150'000);
      request.params.temperature = 0.6f;
      request.params.top_p = 0.95f;
      request.params.top_k = 20;
      request.params.seed = rng_();
      request.params.max_tokens = output_tokens;
      request.params.ignore_eos = true;
      sinks.push_back(std::make_shared<DoneSink>());
      Check(engine_->Submit(std::move(request), sinks.back()).status());
    }
    for (const auto& sink : sinks) sink->Wait();
  }

  void Print(const std::string& name, double rate, double floor) {
    std::printf(
        "%s\n {\"case\": \"%s\", \"tp\": %d, \"tokens_per_s\": %.1f, \"floor_tokens_per_s\": %.1f, "
        "\"fraction\": %.3f",
        separator_, name.c_str(), tp_size_, rate, floor, rate / floor);
    separator_ = ",";
  }

  const int tp_size_;
  const GpuLimits limits_;
  double load_seconds_ = 0.0;
  std::shared_ptr<const ModelFolder> folder_;
  std::vector<std::unique_ptr<DeviceCommunicator>> communicators_;
  std::vector<std::unique_ptr<CudaExecutor>> executors_;
  std::unique_ptr<RankGroup> ranks_;
  StepTimes times_;
  SteadyClock clock_;
  std::unique_ptr<Engine> engine_;
  std::mt19937_64 rng_{7};
  const char* separator_ = "";
};

constexpr char kUsage[] = R"(usage: cuda_engine_bench [options]
Tokens per second of the engine on GPUs, random weights at the 14B's shapes; prints JSON.
  --tp-size=1             ranks, on GPUs 0 and on
  --all-reduce=auto       auto, nccl or peer: as the worker's flag
  --bandwidth=3.0e12      bytes/s and
  --flops=7.9e14          operations/s of a GPU, which floors divide by; the defaults are an H100's
  --only=REGEX            cases whose names match, as "decode 64 at 1k" and "prefill 8k"
)";

AllReduceMode ParseAllReduce(const std::string& argument, const std::string& value) {
  if (value == "auto") return AllReduceMode::kAuto;
  if (value == "nccl") return AllReduceMode::kNccl;
  if (value == "peer") return AllReduceMode::kPeer;
  EndWithUsage(kUsage, argument);
}

int Main(int argc, char** argv) {
  int tp_size = 1;
  AllReduceMode all_reduce = AllReduceMode::kAuto;
  GpuLimits limits;
  std::string only = ".*";
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    const size_t equals = argument.find('=');
    const std::string name = argument.substr(0, equals);
    const std::string value = equals == std::string::npos ? "" : argument.substr(equals + 1);
    if (name == "--tp-size") {
      tp_size = std::atoi(value.c_str());
    } else if (name == "--all-reduce") {
      all_reduce = ParseAllReduce(argument, value);
    } else if (name == "--bandwidth") {
      limits.bandwidth = std::atof(value.c_str());
    } else if (name == "--flops") {
      limits.flops = std::atof(value.c_str());
    } else if (name == "--only") {
      only = value;
    } else {
      EndWithUsage(kUsage, argument);
    }
  }
  if (tp_size < 1) Fail("--tp-size must be at least 1");
  Bench bench(tp_size, all_reduce, limits);
  std::printf("{\"bench\": \"cuda_engine\", \"load_seconds\": %.2f, \"cases\": [",
              bench.load_seconds());
  const std::regex wanted(only);
  const auto decode = [&](const char* name, int rows, int context, int tokens) {
    if (std::regex_search(name, wanted)) bench.Decode(name, rows, context, tokens);
  };
  const auto prefill = [&](const char* name, int tokens, int runs) {
    if (std::regex_search(name, wanted)) bench.Prefill(name, tokens, runs);
  };
  prefill("prefill 2k", 2048, 5);
  prefill("prefill 8k", 8192, 5);
  prefill("prefill 32k", 32'768, 3);
  prefill("prefill 131k", kContext - 64, 1);
  decode("decode 1 at 1k", 1, 1024, 256);
  decode("decode 1 at 32k", 1, 32'768, 128);
  decode("decode 1 at 131k", 1, kContext - 64, 96);
  decode("decode 16 at 1k", 16, 1024, 128);
  decode("decode 64 at 1k", 64, 1024, 128);
  decode("decode 128 at 1k", 128, 1024, 128);
  // Prompts come one after the other, and the first still has to decode when the last has begun.
  decode("decode 256 at 1k", 256, 1024, 384);
  std::printf("\n]}\n");
  return 0;
}

}  // namespace
}  // namespace sluice::worker

int main(int argc, char** argv) { return sluice::worker::Main(argc, argv); }
