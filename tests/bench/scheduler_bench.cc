// SPDX-License-Identifier: Apache-2.0
// What a step costs in the scheduler, hashing for the prefix cache included: 256 sequences run,
// 1,000 wait, every sequence that ends is replaced by a new one. A step is Plan, CompleteStep,
// SetStepDone, Load, and the Add and Remove calls that its results bring about; ids come from a
// random generator outside the time. And what hashing a prompt of 32,768 tokens costs alone.
//
// Times are of the thread's own CPU clock, so that a busy machine does not count twice.
// Usage: scheduler_bench [steps]
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <deque>
#include <memory>
#include <random>
#include <unordered_map>
#include <vector>

#include "worker/cache/prefix_hash.h"
#include "worker/scheduler/scheduler.h"

namespace sluice::worker {
namespace {

constexpr int kRunning = 256;
constexpr int kWaiting = 1000;
constexpr int kPrefixTokens = 1024;

double CpuMicroseconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e6 + static_cast<double>(now.tv_nsec) * 1e-3;
}

double Quantile(std::vector<double> values, double q) {
  const auto place = static_cast<std::ptrdiff_t>(q * static_cast<double>(values.size() - 1));
  std::nth_element(values.begin(), values.begin() + place, values.end());
  return values[static_cast<size_t>(place)];
}

class Bench {
 public:
  Bench(int budget, int num_pages)
      : budget_(budget),
        scheduler_({.max_rows = kRunning,
                    .max_batched_tokens = budget,
                    .num_pages = num_pages,
                    .max_model_len = 8192}) {
    for (int i = 0; i < 8; ++i) prefixes_.push_back(Tokens(kPrefixTokens));
    for (int i = 0; i < kWaiting + kRunning; ++i) {
      specs_.push_back(MakeSpec());
      AddOne();
    }
  }

  void Run(const char* name, int steps) {
    for (int i = 0; i < 1000; ++i) Step();
    times_.clear();
    int64_t running = 0;
    int64_t waiting = 0;
    int64_t prefill = 0;
    const SchedulerLoad before = scheduler_.Load();
    for (int i = 0; i < steps; ++i) {
      prefill += Step();
      const SchedulerLoad load = scheduler_.Load();
      running += load.running;
      waiting += load.waiting;
    }
    const SchedulerLoad load = scheduler_.Load();
    const double queried =
        static_cast<double>(load.prefix_tokens_queried - before.prefix_tokens_queried);
    const double hit = static_cast<double>(load.prefix_tokens_hit - before.prefix_tokens_hit);
    double sum = 0;
    for (double time : times_) sum += time;
    std::printf(
        "{\"bench\":\"scheduler_step\",\"case\":\"%s\",\"steps\":%d,\"budget\":%d,"
        "\"mean_running\":%.1f,\"mean_waiting\":%.1f,\"mean_prefill_tokens\":%.1f,"
        "\"prefix_hit_share\":%.2f,\"preemptions\":%lld,\"median_us\":%.1f,\"p90_us\":%.1f,"
        "\"p99_us\":%.1f,\"max_us\":%.1f,\"mean_us\":%.1f}\n",
        name, steps, budget_, static_cast<double>(running) / steps,
        static_cast<double>(waiting) / steps, static_cast<double>(prefill) / steps, hit / queried,
        static_cast<long long>(load.preemptions - before.preemptions), Quantile(times_, 0.5),
        Quantile(times_, 0.9), Quantile(times_, 0.99), Quantile(times_, 1.0), sum / steps);
  }

 private:
  int Between(int low, int high) { return std::uniform_int_distribution<>(low, high)(random_); }

  std::vector<TokenId> Tokens(int n) {
    std::vector<TokenId> tokens(static_cast<size_t>(n));
    for (TokenId& token : tokens) token = Between(0, 150'000);
    return tokens;
  }

  // Half of the prompts begin with one of a few system prompts.
  SequenceSpec MakeSpec() {
    std::vector<TokenId> prompt;
    if (Between(0, 1) == 0) prompt = prefixes_[static_cast<size_t>(Between(0, 7))];
    const std::vector<TokenId> own = Tokens(Between(100, 1500));
    prompt.insert(prompt.end(), own.begin(), own.end());
    const int length = static_cast<int>(prompt.size()) + Between(50, 400);
    return {.id = ++next_id_,
            .max_length = length,
            .prompt = std::make_shared<const std::vector<TokenId>>(std::move(prompt)),
            .params = params_};
  }

  void AddOne() {
    SequenceSpec spec = std::move(specs_.front());
    specs_.pop_front();
    left_[spec.id] = spec.max_length - static_cast<int>(spec.prompt->size());
    scheduler_.Add(std::move(spec));
  }

  // One step planned and the one before it completed; prefill tokens.
  int Step() {
    while (static_cast<int>(specs_.size()) < kRunning) specs_.push_back(MakeSpec());
    double time = -CpuMicroseconds();
    std::optional<PlannedStep> step = scheduler_.Plan();
    time += CpuMicroseconds();
    int prefill = 0;
    if (step) {
      prefill = step->num_prefill_tokens;
      size_t samples = 0;
      for (const RowStep& row : step->plan.rows) samples += row.sample ? 1 : 0;
      in_flight_.push_back({step->plan.step, samples});
    }
    if (in_flight_.size() == 2 || !step) {
      const auto [id, samples] = in_flight_.front();
      in_flight_.pop_front();
      outcomes_.resize(samples);
      for (SampleOutcome& outcome : outcomes_)
        outcome = {.ids = {Between(0, 150'000)}, .finite = true};
      time -= CpuMicroseconds();
      const std::vector<SequenceId> owners = scheduler_.CompleteStep(outcomes_);
      scheduler_.SetStepDone(id);
      time += CpuMicroseconds();
      ended_.clear();
      for (SequenceId owner : owners) {
        if (owner != kNoSequence && --left_[owner] == 0) ended_.push_back(owner);
      }
      time -= CpuMicroseconds();
      for (SequenceId owner : ended_) {
        scheduler_.Remove(owner);
        left_.erase(owner);
        AddOne();
      }
      scheduler_.Load();
      time += CpuMicroseconds();
    }
    times_.push_back(time);
    return prefill;
  }

  struct InFlight {
    StepId step;
    size_t samples;
  };

  const int budget_;
  std::mt19937 random_{1};
  Scheduler scheduler_;
  const std::shared_ptr<const SamplingParams> params_ = std::make_shared<SamplingParams>();
  std::vector<std::vector<TokenId>> prefixes_;
  std::deque<SequenceSpec> specs_;
  std::unordered_map<SequenceId, int> left_;
  std::deque<InFlight> in_flight_;
  std::vector<SampleOutcome> outcomes_;
  std::vector<SequenceId> ended_;
  std::vector<double> times_;
  SequenceId next_id_ = 0;
};

void HashLongPrompt() {
  constexpr int kTokens = 32'768;
  std::mt19937 random(2);
  std::vector<TokenId> tokens(kTokens);
  for (TokenId& token : tokens) token = static_cast<TokenId>(random() % 150'000);
  const PrefixHasher hasher("model");
  std::vector<double> times;
  uint64_t sink = 0;
  for (int run = 0; run < 200; ++run) {
    const double start = CpuMicroseconds();
    PrefixHash hash = hasher.Root("");
    for (int i = 0; i < kTokens; i += kPageTokens) hash = hasher.Extend(hash, &tokens[i]);
    times.push_back(CpuMicroseconds() - start);
    sink ^= hash.low;
  }
  std::printf(
      "{\"bench\":\"prefix_hash\",\"tokens\":%d,\"median_us\":%.1f,\"p99_us\":%.1f,\"gb_per_s\":"
      "%.2f,\"check\":%d}\n",
      kTokens, Quantile(times, 0.5), Quantile(times, 0.99),
      kTokens * sizeof(TokenId) / Quantile(times, 0.5) * 1e-3, static_cast<int>(sink & 1));
}

int Main(int argc, char** argv) {
  const int steps = argc > 1 ? std::atoi(argv[1]) : 5000;
  Bench(kRunning + 2048, 20'000).Run("room for all", steps);
  Bench(kRunning + 2048, 4'000).Run("few pages", steps);
  HashLongPrompt();
  return 0;
}

}  // namespace
}  // namespace sluice::worker

int main(int argc, char** argv) { return sluice::worker::Main(argc, argv); }
