// SPDX-License-Identifier: Apache-2.0
// Where a step's time goes: one forward pass at the 14B's shapes, random weights, in a CUDA graph
// with an event after every operation. Prints a table (JSON) of the operations: launches, time over
// all layers, bytes that have to be read and floating-point operations that have to be made, and
// the fraction of what the GPU can do in that time. An event costs about a microsecond, so small
// operations look slower than they are; "untimed_ms" is the same graph without events. Where gate
// and up are gated by their linear (awq::PlanGatedLinear), all of it is "gate_up"; where a sum over
// ranks is added to the residual and normed in one kernel, that is "all_reduce".
//
// With several ranks, a thread and a GPU each, the table is rank 0's; what it waits for the others
// is in the time of its all-reduces.
//
// cuda_step_bench --help has the options.
#include <cuda_runtime_api.h>

#include <algorithm>
#include <barrier>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <regex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/bench/gpu_limits.h"
#include "tests/bench/usage.h"
#include "tests/support/device_communicators.h"
#include "tests/support/qwen3_14b_config.h"
#include "worker/device/cuda_status.h"
#include "worker/device/current_device.h"
#include "worker/device/graph.h"
#include "worker/device/stream.h"
#include "worker/executor/cuda/cuda_model.h"
#include "worker/executor/cuda/weight_loader.h"
#include "worker/model/model_folder.h"

namespace sluice::worker {
namespace {

constexpr int kRuns = 20;
constexpr int kMaxTokens = 2048;
constexpr int kMaxRows = 256;
constexpr int kMaxContext = 32'768;
constexpr int kPages = kMaxRows * 17 + 2;  // 256 rows of 1k, or one of 32k

void Check(const absl::Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "cuda_step_bench: %s\n", status.ToString().c_str());
  std::exit(1);
}
void Check(cudaError_t error) { Check(device::ToStatus(error, "bench")); }

struct Work {
  double bytes = 0.0;
  double flops = 0.0;
};

// Events in a graph, one after each operation.
class Timeline {
 public:
  ~Timeline() {
    for (const cudaEvent_t event : events_) cudaEventDestroy(event);
  }
  absl::Status Add(const char* operation, cudaStream_t stream) {
    cudaEvent_t event = nullptr;
    Check(cudaEventCreate(&event));
    events_.push_back(event);
    operations_.emplace_back(operation);
    return device::ToStatus(cudaEventRecordWithFlags(event, stream, cudaEventRecordExternal),
                            "marking an operation");
  }
  struct Time {
    int launches = 0;
    double milliseconds = 0.0;
  };
  std::map<std::string, Time> Read() const {
    std::map<std::string, Time> times;
    for (size_t i = 1; i < events_.size(); ++i) {
      float milliseconds = 0.0f;
      Check(cudaEventElapsedTime(&milliseconds, events_[i - 1], events_[i]));
      ++times[operations_[i]].launches;
      times[operations_[i]].milliseconds += milliseconds;
    }
    return times;
  }

 private:
  std::vector<cudaEvent_t> events_;
  std::vector<std::string> operations_;
};

// rows of one token each at this context, or one row with `chunk` tokens of prefill up to there.
struct Case {
  const char* name;
  int rows, context, chunk;
};

constexpr Case kCases[] = {
    {"decode 1 at 1k", 1, 1024, 1},     {"decode 1 at 32k", 1, kMaxContext, 1},
    {"decode 4 at 1k", 4, 1024, 1},     {"decode 8 at 1k", 8, 1024, 1},
    {"decode 16 at 1k", 16, 1024, 1},   {"decode 64 at 1k", 64, 1024, 1},
    {"decode 128 at 1k", 128, 1024, 1}, {"decode 256 at 1k", 256, 1024, 1},
    {"prefill 2k", 1, 2048, 2048},      {"prefill 2k behind 30k", 1, kMaxContext, 2048},
};

// One rank's part of the bench, on the GPU of its number. All ranks call the same with the same.
class Rank {
 public:
  // communicator and together, where the ranks meet, outlive it.
  Rank(const ModelFolder& folder, DeviceCommunicator* communicator, std::barrier<>* together,
       const GpuLimits& limits)
      : config_(folder.config()),
        communicator_(*communicator),
        together_(*together),
        limits_(limits) {
    const int rank = communicator_.rank(), tp_size = communicator_.world_size();
    Check(device::SetDevice(rank));
    Check(communicator_.WaitReady());
    const auto num_sms = device::NumMultiprocessors(rank);
    Check(num_sms.status());
    bounds_ = {.max_tokens = kMaxTokens,
               .max_rows = kMaxRows,
               .max_logits = kMaxRows,
               .max_pages_per_row = kMaxContext / kPageTokens + 1};
    auto layout = LayOutWeights(config_, tp_size, nullptr);
    Check(layout.status());
    layout_ = *std::move(layout);
    auto weights = LoadWeights(folder, {.device_index = rank, .rank = rank});
    Check(weights.status());
    auto model =
        CudaModel::Create(config_, *std::move(weights),
                          LayOutWorkspace(config_, layout_, bounds_, rank, tp_size, *num_sms),
                          bounds_, kPages, *num_sms, &communicator_);
    Check(model.status());
    model_ = *std::move(model);
    auto stream = device::Stream::Create();
    Check(stream.status());
    stream_ = *std::move(stream);
  }

  void Run(const Case& of) {
    RowTable table({.max_rows = kMaxRows,
                    .num_pages = kPages,
                    .max_batched_tokens = kMaxTokens,
                    .vocab_size = config_.vocab_size});
    StepPlan plan;
    PageId next = 1;
    for (RowId row = 0; row < of.rows; ++row) {
      plan.added.push_back({.row = row, .position = of.context - of.chunk});
      plan.pages.push_back({.row = row, .pages = {}});
      for (int page = 0; page * kPageTokens < of.context; ++page) {
        plan.pages.back().pages.push_back(next++);
      }
      plan.rows.push_back({.row = row, .ids = {}, .sample = true});
      for (int i = 0; i < of.chunk; ++i) {
        plan.rows.back().ids.push_back((row * 7 + i * 13) % 150'000);
      }
    }
    StepBatch batch;
    Check(table.Apply(plan, &batch));
    const StepInput input(batch, table);
    const StepLayout layout(input.shape());
    std::vector<std::byte> host(static_cast<size_t>(layout.bytes));
    input.Pack(input.shape(), host.data());
    auto device_input = device::DeviceBuffer::Allocate(layout.bytes, "the input");
    Check(device_input.status());
    Check(cudaMemcpy(device_input->data(), host.data(), host.size(), cudaMemcpyHostToDevice));
    const auto entries = PageTableEntries(plan, table);
    auto device_entries = device::DeviceBuffer::Allocate(
        static_cast<int64_t>(entries.size() * sizeof(entries[0])), "page table entries");
    Check(device_entries.status());
    Check(cudaMemcpy(device_entries->data(), entries.data(), entries.size() * sizeof(entries[0]),
                     cudaMemcpyHostToDevice));
    Check(model_->WritePageTables(device_entries->As<kernels::attention::PageTableEntry>(),
                                  static_cast<int>(entries.size()), stream_.get()));

    const DeviceStep step = {.shape = input.shape(),
                             .input = device_input->As<std::byte>(),
                             .last_ids = nullptr,
                             .all_logits = input.only_decodes()};
    const auto forward = [&] { return model_->Forward(step, stream_.get()); };
    model_->set_mark({});
    Meet();
    Check(forward());  // warms up
    Check(stream_.Synchronize());
    const auto plain = device::Graph::Capture(stream_.get(), forward);
    Check(plain.status());
    Timeline timeline;
    model_->set_mark([&](const char* operation) { return timeline.Add(operation, stream_.get()); });
    const auto marked = device::Graph::Capture(stream_.get(), [&]() -> absl::Status {
      const absl::Status status = timeline.Add("begin", stream_.get());
      return status.ok() ? forward() : status;
    });
    Check(marked.status());
    Meet();

    std::map<std::string, std::vector<double>> samples;
    std::map<std::string, int> launches;
    for (int run = 0; run < kRuns; ++run) {
      Meet();
      Check(marked->Launch(stream_.get()));
      Check(stream_.Synchronize());
      for (const auto& [operation, time] : timeline.Read()) {
        samples[operation].push_back(time.milliseconds);
        launches[operation] = time.launches;
      }
    }
    const double untimed = TimePlain(*plain);
    if (communicator_.rank() == 0) Print(of, samples, launches, untimed);
    Meet();  // nothing is freed while another rank's graph may wait for this one's
  }

 private:
  // All ranks go on together: what one allocates or sets up, and what it runs, is side by side with
  // the same of the others.
  void Meet() { together_.arrive_and_wait(); }

  double TimePlain(const device::Graph& graph) {
    auto begin = device::Event::Create(device::Event::Timing::kOn);
    auto end = device::Event::Create(device::Event::Timing::kOn);
    Check(begin.status());
    Check(end.status());
    std::vector<double> all;
    for (int run = 0; run < kRuns; ++run) {
      Meet();
      Check(begin->Record(stream_.get()));
      Check(graph.Launch(stream_.get()));
      Check(end->Record(stream_.get()));
      Check(stream_.Synchronize());
      const auto milliseconds = end->MillisecondsSince(*begin);
      Check(milliseconds.status());
      all.push_back(*milliseconds);
    }
    return Median(all);
  }

  static double Median(std::vector<double> values) {
    std::sort(values.begin(), values.end());
    return values[values.size() / 2];
  }

  // What each operation of this rank has to read and compute at least, over all layers.
  std::map<std::string, Work> WorkOf(const Case& of, int num_norms) const {
    const double tokens = static_cast<double>(of.rows) * of.chunk;
    const double layers = config_.num_layers, ranks = communicator_.world_size();
    const LayerLayout& layer = layout_.layers.front();
    const auto linear = [&](const LinearLayout& shape) {
      return Work{layers * static_cast<double>(shape.content_bytes()),
                  layers * 2.0 * shape.outputs * shape.inputs * tokens};
    };
    const double kv = 2.0 * config_.kv_size() * 2.0 / ranks;  // bytes of a token in one layer
    const double seen = of.chunk == 1 ? of.context : of.context - of.chunk / 2.0;  // of a query
    const double head = static_cast<double>(config_.vocab_size) * config_.hidden_size / ranks;
    const double residual = tokens * config_.hidden_size * 4.0;
    return {{"qkv", linear(layer.qkv)},
            {"o", linear(layer.o)},
            {"gate_up", linear(layer.gate_up)},
            {"down", linear(layer.down)},
            {"attention",
             {layers * kv * of.rows * of.context,
              layers * 4.0 * config_.q_size() / ranks * tokens * seen}},
            {"norm", {num_norms * 2.0 * residual, 0.0}},
            {"head", {2.0 * head, 2.0 * head * of.rows}}};
  }

  void Print(const Case& of, const std::map<std::string, std::vector<double>>& samples,
             const std::map<std::string, int>& launches, double untimed) {
    double total = 0.0;
    for (const auto& [operation, values] : samples) total += Median(values);
    std::printf(
        "%s\n {\"case\": \"%s\", \"tp\": %d, \"untimed_ms\": %.3f, \"timed_ms\": %.3f, "
        "\"operations\": [",
        separator_, of.name, communicator_.world_size(), untimed, total);
    separator_ = ",";
    const char* comma = "";
    const std::map<std::string, Work> work = WorkOf(of, launches.at("norm"));
    for (const auto& [operation, values] : samples) {
      const double seconds = Median(values) / 1e3;
      const auto found = work.find(operation);
      const Work least = found == work.end() ? Work{} : found->second;
      const double floor = std::max(least.bytes / limits_.bandwidth, least.flops / limits_.flops);
      std::printf(
          "%s\n  {\"operation\": \"%s\", \"launches\": %d, \"ms\": %.4f, \"share\": %.3f, "
          "\"bytes\": %.4g, \"flops\": %.4g, \"fraction\": %.3f}",
          comma, operation.c_str(), launches.at(operation), seconds * 1e3, seconds * 1e3 / total,
          least.bytes, least.flops, floor / seconds);
      comma = ",";
    }
    std::printf("\n ]}");
    std::fflush(stdout);
  }

  const Qwen3Config config_;
  DeviceCommunicator& communicator_;
  std::barrier<>& together_;
  const GpuLimits limits_;
  StepBounds bounds_;
  WeightLayout layout_;
  std::unique_ptr<CudaModel> model_;
  device::Stream stream_;
  const char* separator_ = "";
};

constexpr char kUsage[] = R"(usage: cuda_step_bench [options]
Where the time of a forward pass goes, random weights at the 14B's shapes; prints JSON.
  --tp-size=1             ranks, on GPUs 0 and on; the times are rank 0's
  --bandwidth=3.0e12      bytes/s and
  --flops=7.9e14          operations/s of a GPU, which floors divide by; the defaults are an H100's
  --only=REGEX            cases whose names match, as "decode 1 at 1k" and "prefill 2k$"
)";

int Main(int argc, char** argv) {
  int tp_size = 1;
  GpuLimits limits;
  std::regex only(".*");
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument.rfind("--tp-size=", 0) == 0) {
      tp_size = std::atoi(argument.c_str() + 10);
    } else if (argument.rfind("--bandwidth=", 0) == 0) {
      limits.bandwidth = std::atof(argument.c_str() + 12);
    } else if (argument.rfind("--flops=", 0) == 0) {
      limits.flops = std::atof(argument.c_str() + 8);
    } else if (argument.rfind("--only=", 0) == 0) {
      only = argument.substr(7);
    } else {
      EndWithUsage(kUsage, argument);
    }
  }
  const std::string dir = testing::WriteQwen3_14BConfig(
      std::filesystem::temp_directory_path() / ("cuda_step_bench." + std::to_string(getpid())));
  const auto folder = ModelFolder::Open({.dir = dir, .tp_size = tp_size, .dummy_weights = true});
  Check(folder.status());
  std::filesystem::remove_all(dir);
  auto communicators = StartDeviceCommunicators(tp_size);
  Check(communicators.status());
  std::printf("{\"bench\": \"cuda_step\", \"runs\": %d, \"cases\": [", kRuns);
  std::barrier<> together(tp_size);
  std::vector<std::thread> threads;
  for (const auto& communicator : *communicators) {
    threads.emplace_back([&, communicator = communicator.get()] {
      Rank rank(**folder, communicator, &together, limits);
      for (const Case& of : kCases) {
        if (std::regex_search(of.name, only)) rank.Run(of);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EndDeviceCommunicators(*std::move(communicators));
  std::printf("\n]}\n");
  return 0;
}

}  // namespace
}  // namespace sluice::worker

int main(int argc, char** argv) { return sluice::worker::Main(argc, argv); }
