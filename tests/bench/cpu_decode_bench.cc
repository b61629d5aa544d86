// SPDX-License-Identifier: Apache-2.0
// CPU tokens per second through the executor, without scheduler or network: one sequence decoding,
// eight decoding together, and prefill, at tensor-parallel 1 and 2. Weights are dummies of a
// 20-million-parameter model. Prints JSON.
//
//   build/bench/cpu_decode_bench [vocab_size, default 8192]
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "worker/executor/cpu/cpu_executor.h"
#include "worker/parallel/shared_memory_communicator.h"

namespace sluice::worker {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kPromptTokens = 128;
constexpr int kDecodeSteps = 256;

void Check(const absl::Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "%s\n", status.ToString().c_str());
  std::exit(1);
}

double Seconds(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

std::string WriteConfig(int vocab_size) {
  const std::string dir =
      (std::filesystem::temp_directory_path() / ("cpu_decode_bench." + std::to_string(getpid())))
          .string();
  std::filesystem::create_directories(dir);
  std::ofstream(dir + "/config.json")
      << R"({"model_type": "qwen3", "hidden_size": 384, "intermediate_size": 1024, "num_hidden_layers": 9,
             "num_attention_heads": 4, "num_key_value_heads": 4, "head_dim": 128, "rms_norm_eps": 1e-6,
             "rope_theta": 1000000, "max_position_embeddings": 40960, "tie_word_embeddings": true,
             "eos_token_id": 0, "quantization_config": {"quant_method": "awq", "bits": 4, "group_size": 128,
             "version": "gemm", "zero_point": true}, "vocab_size": )"
      << vocab_size << "}";
  return dir;
}

// Executors of all ranks, each with its own thread; a step is submitted to all and collected from
// all.
class Group {
 public:
  Group(const std::string& dir, int tp_size) {
    const auto folder = ModelFolder::Open({.dir = dir, .tp_size = tp_size, .dummy_weights = true});
    Check(folder.status());
    if (tp_size == 1) {
      communicators_.push_back(std::make_unique<SingleRankCommunicator>());
    } else {
      auto leader = SharedMemoryCommunicator::Create(tp_size, {});
      Check(leader.status());
      const std::string name = (*leader)->segment_name();
      communicators_.push_back(*std::move(leader));
      for (int rank = 1; rank < tp_size; ++rank) {
        communicators_.push_back(*SharedMemoryCommunicator::Open(name, rank, tp_size, {}));
      }
    }
    const CpuExecutorOptions options = {
        .num_pages = 256, .max_rows = 8, .max_batched_tokens = kPromptTokens};
    for (const auto& communicator : communicators_) {
      auto executor = CpuExecutor::Create(**folder, options, communicator.get());
      Check(executor.status());
      executors_.push_back(*std::move(executor));
    }
  }

  void Submit(StepPlan plan) {
    plan.step = ++submitted_;
    for (const auto& executor : executors_) Check(executor->Submit(plan));
  }
  void Collect() {
    ++collected_;
    for (const auto& executor : executors_) Check(executor->Collect(collected_).status());
  }

 private:
  std::vector<std::unique_ptr<Communicator>> communicators_;
  std::vector<std::unique_ptr<CpuExecutor>> executors_;
  StepId submitted_ = 0;
  StepId collected_ = 0;
};

struct Rates {
  double prefill = 0;  // tokens per second
  double decode = 0;   // tokens per second over all rows
};

Rates Measure(Group* group, int num_rows) {
  constexpr int kPagesPerRow = (kPromptTokens + kDecodeSteps) / kPageTokens + 1;
  auto sampling = std::make_shared<RowAdd::Sampling>();
  sampling->params.temperature = 0.0f;
  Rates rates;
  const Clock::time_point prefill_start = Clock::now();
  StepPlan decode, release;
  for (RowId row = 0; row < num_rows; ++row) {
    StepPlan prefill;
    prefill.added = {{.row = row, .position = 0, .sampling = sampling}};
    prefill.pages = {{.row = row, .pages = {}}};
    for (int page = 0; page < kPagesPerRow; ++page) {
      prefill.pages[0].pages.push_back(1 + row * kPagesPerRow + page);
    }
    prefill.rows = {{.row = row, .ids = {}, .sample = true}};
    for (int i = 0; i < kPromptTokens; ++i)
      prefill.rows[0].ids.push_back(1 + (row * 131 + i) % 997);
    group->Submit(prefill);
    group->Collect();
    decode.rows.push_back({.row = row, .ids = {}, .sample = true});
    release.released_rows.push_back(row);
  }
  rates.prefill = num_rows * kPromptTokens / Seconds(prefill_start);
  const Clock::time_point decode_start = Clock::now();
  group->Submit(decode);
  for (int step = 1; step < kDecodeSteps; ++step) {
    group->Submit(decode);
    group->Collect();
  }
  group->Collect();
  rates.decode = num_rows * kDecodeSteps / Seconds(decode_start);
  group->Submit(release);
  group->Collect();
  return rates;
}

void Run(int vocab_size) {
  const std::string dir = WriteConfig(vocab_size);
  const auto folder = ModelFolder::Open({.dir = dir, .dummy_weights = true});
  Check(folder.status());
  std::printf(
      "{\"bench\": \"cpu_decode\", \"vocab_size\": %d, \"hardware_threads\": %u, \"runs\": [",
      vocab_size, std::thread::hardware_concurrency());
  const char* separator = "";
  for (const int tp_size : {1, 2}) {
    Group group(dir, tp_size);
    Measure(&group, 1);  // warms caches and page tables
    for (const int rows : {1, 8}) {
      const Rates rates = Measure(&group, rows);
      std::printf(
          "%s\n {\"tp\": %d, \"sequences\": %d, \"decode_tokens_per_s\": %.1f, "
          "\"prefill_tokens_per_s\": %.1f}",
          separator, tp_size, rows, rates.decode, rates.prefill);
      separator = ",";
    }
  }
  std::printf("\n]}\n");
  std::filesystem::remove_all(dir);
}

}  // namespace
}  // namespace sluice::worker

int main(int argc, char** argv) {
  sluice::worker::Run(argc > 1 ? std::atoi(argv[1]) : 8192);
  return 0;
}
