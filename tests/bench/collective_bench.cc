// SPDX-License-Identifier: Apache-2.0
// Times the collectives of a step over GPUs, one process a GPU, as decode steps run them: captured
// in a graph, one after the other. Prints one JSON object: for each size the time of one operation,
// the median of the graph's launches and the lowest, and the bandwidth of the links that it makes
// (2 (n - 1) / n bytes a byte of an all-reduce). All-reduces are timed on each path
// (worker/parallel/all_reduce_path.h, whose table this is for), those of a linear's output with the
// summing of the pieces that down leaves for so many rows; and such a sum that is added to the
// residual and normed: in two kernels, and wherever the shape allows it in one, all rows on all
// ranks or a share on each.
//
// collective_bench --help has the options.
//
// Needs libnccl.so.2 where the worker looks for it (docs/operations.md). Beside an unpacked
// package: LD_LIBRARY_PATH=lib collective_bench.
#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "kernels/awq/medium_linear.h"
#include "kernels/awq/small_linear.h"
#include "kernels/collective/peer_all_reduce.h"
#include "kernels/norm/add_rms_norm.h"
#include "tests/bench/usage.h"
#include "tests/support/rank_processes.h"
#include "worker/device/cuda_status.h"
#include "worker/parallel/device_group.h"
#include "worker/parallel/nccl_communicator.h"
#include "worker/parallel/nccl_environment.h"
#include "worker/parallel/nccl_library.h"
#include "worker/parallel/peer_communicator.h"

namespace sluice::worker {
namespace {

constexpr int kInGraph = 80;  // two for each of the 14B's layers
constexpr int kLaunches = 30;

void Check(cudaError_t error) {
  if (error == cudaSuccess) return;
  std::fprintf(stderr, "collective_bench: %s\n", cudaGetErrorString(error));
  std::exit(1);
}

void Check(const absl::Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "collective_bench: %s\n", std::string(status.message()).c_str());
  std::exit(1);
}

struct Times {
  double median_us;
  double least_us;
};

// Of one operation. All ranks call it together.
Times Measure(cudaStream_t stream, const std::function<absl::Status()>& operation) {
  Check(operation());
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t exec = nullptr;
  Check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
  for (int i = 0; i < kInGraph; ++i) Check(operation());
  Check(cudaStreamEndCapture(stream, &graph));
  Check(cudaGraphInstantiate(&exec, graph, 0));
  cudaEvent_t begin = nullptr;
  cudaEvent_t end = nullptr;
  Check(cudaEventCreate(&begin));
  Check(cudaEventCreate(&end));
  std::vector<double> times;
  for (int launch = 0; launch < kLaunches; ++launch) {
    // One ahead lets the ranks start the measured one together.
    Check(cudaGraphLaunch(exec, stream));
    Check(cudaEventRecord(begin, stream));
    Check(cudaGraphLaunch(exec, stream));
    Check(cudaEventRecord(end, stream));
    Check(cudaEventSynchronize(end));
    float milliseconds = 0;
    Check(cudaEventElapsedTime(&milliseconds, begin, end));
    times.push_back(milliseconds * 1e3 / kInGraph);
  }
  Check(cudaEventDestroy(begin));
  Check(cudaEventDestroy(end));
  Check(cudaGraphExecDestroy(exec));
  Check(cudaGraphDestroy(graph));
  std::sort(times.begin(), times.end());
  return {times[times.size() / 2], times.front()};
}

constexpr struct {
  AllReducePath path;
  const char* name;
} kPaths[] = {{AllReducePath::kNccl, "nccl"},
              {AllReducePath::kOneShot, "one_shot"},
              {AllReducePath::kTwoShot, "two_shot"}};

// Of the 14B.
constexpr int kHidden = 5120;
constexpr int kIntermediate = 17408;

bool Fits(AllReducePath path, int world_size, int64_t count, int64_t buffer_bytes) {
  return path != AllReducePath::kOneShot ||
         count <= kernels::collective::PeerCapacity(kernels::collective::PeerAlgorithm::kOneShot,
                                                    world_size, buffer_bytes / 16);
}

// What down leaves for so many rows, as few and as many rows as have a linear of their own.
kernels::awq::SplitPlan PlanOfDown(int inputs, int rows, int num_sms) {
  return rows <= kernels::awq::kMaxSmallRows
             ? kernels::awq::PlanSmallLinear(kHidden, inputs, rows, num_sms)
             : kernels::awq::PlanMediumLinear(kHidden, inputs, rows, num_sms);
}

// What follows a sum in a layer: data begins with the part, and all of it is zeros.
struct NormedSum {
  kernels::awq::LinearOutput part;
  kernels::collective::ScaledNorm norm;
  float* sum;

  NormedSum(const kernels::awq::LinearOutput& from, float* behind_part) : part(from) {
    const int64_t count = int64_t{part.rows} * part.outputs;
    sum = behind_part;
    norm.residual = sum + count;
    norm.squares = norm.residual + count;
    norm.out = reinterpret_cast<__nv_bfloat16*>(norm.squares + kernels::awq::kMaxScaledRows *
                                                                   kernels::awq::kRowParts);
    norm.weight = norm.out + count;
    norm.eps = 1e-6f;
  }

  absl::Status InOneKernel(DeviceCommunicator& group, cudaStream_t stream) const {
    const auto scale = group.AllReduceScaledNorm(part, norm, stream);
    return scale.ok() && !scale->has_value() ? absl::UnimplementedError("not of this size")
                                             : scale.status();
  }
  absl::Status ByRows(DeviceCommunicator& group, cudaStream_t stream) const {
    const auto taken = group.AllReduceAddRmsNorm(Adding(&part), stream);
    return taken.ok() && !*taken ? absl::UnimplementedError("not of this size") : taken.status();
  }
  absl::Status InTwo(DeviceCommunicator& group, cudaStream_t stream) const {
    const absl::Status summed = group.AllReduceLinear(part, sum, stream);
    if (!summed.ok()) return summed;
    const auto delta = kernels::awq::WholeOutput(sum, part.rows, part.outputs);
    return device::ToStatus(kernels::norm::RunAddRmsNorm(Adding(&delta), stream));
  }
  kernels::norm::AddRmsNorm Adding(const kernels::awq::LinearOutput* delta) const {
    return {.residual = norm.residual,
            .delta = delta,
            .weight = norm.weight,
            .eps = norm.eps,
            .rows = delta->rows,
            .width = delta->outputs,
            .out = norm.out};
  }
};

int Run(int rank, int world_size, int64_t buffer_bytes, SharedTexts& texts) {
  Check(cudaSetDevice(rank));
  const auto library = NcclLibrary::Open();
  Check(library.status());
  if (rank == 0) {
    const auto id = MakeDeviceGroupId();
    Check(id.status());
    texts.Publish(0, *id);
  }
  NcclOptions options;
  options.rank = rank;
  options.world_size = world_size;
  options.device = rank;
  auto nccl = NcclCommunicator::Start(library.value(), texts.Wait(0), options);
  Check(nccl.status());
  PeerCommunicator group(*std::move(nccl), {.buffer_bytes = buffer_bytes, .device = rank});
  Check(group.WaitReady());
  if (rank == 0) std::fprintf(stderr, "%s\n", group.Describe().c_str());

  constexpr int64_t kMost = 320 << 20;  // the pieces of 2,048 rows, and four times their sum
  cudaStream_t stream = nullptr;
  Check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  float* data = nullptr;
  float* gathered = nullptr;
  Check(cudaMalloc(reinterpret_cast<void**>(&data), kMost));
  Check(cudaMemset(data, 0, kMost));  // zeros stay zeros, however often they are summed
  const int64_t logits = 16 * 151936 / world_size;  // of 16 rows
  Check(cudaMalloc(reinterpret_cast<void**>(&gathered),
                   static_cast<size_t>(logits * world_size) * sizeof(float)));
  const bool prints = rank == 0;
  cudaDeviceProp properties = {};
  Check(cudaGetDeviceProperties(&properties, rank));
  if (prints) {
    std::printf(
        "{\"bench\": \"collective\", \"gpu\": \"%s\", \"ranks\": %d, \"nccl\": %d, \"runs\": [",
        properties.name, world_size, library.value()->version());
  }
  const char* separator = "";
  const auto report = [&](const char* what, const char* path, int64_t bytes, const Times& times,
                          double factor) {
    if (!prints) return;
    std::printf(
        "%s\n {\"operation\": \"%s\", \"path\": \"%s\", \"bytes\": %lld, \"median_us\": %.2f, "
        "\"least_us\": %.2f, \"gb_per_s\": %.1f}",
        separator, what, path, static_cast<long long>(bytes), times.median_us, times.least_us,
        factor * static_cast<double>(bytes) / times.median_us / 1e3);
    separator = ",";
  };
  const double all_reduce_factor = 2.0 * (world_size - 1) / world_size;
  const auto measure = [&](const char* what, const kernels::awq::LinearOutput& part, float* out) {
    const int64_t count = int64_t{part.rows} * part.outputs;
    for (const auto& [path, name] : kPaths) {
      if (path != AllReducePath::kNccl && !group.has_peers()) continue;
      if (!Fits(path, world_size, count, buffer_bytes)) continue;
      const Times times =
          Measure(stream, [&, path = path] { return group.AllReduceOn(path, part, out, stream); });
      report(what, name, count * 4, times, all_reduce_factor);
    }
  };
  // 10 KB is bf16's row of hidden size 5,120; ours are f32: 20 KB a row.
  for (const int64_t kib : {10, 20, 40, 80, 160, 320, 640, 1280, 2560, 5120, 10240, 40960}) {
    measure("all_reduce", kernels::awq::WholeOutput(data, 1, static_cast<int>(kib * 256)), data);
  }
  for (const int rows : {1, 4, 6, 8, 16, 32, 64, 128, 256, 512, 2048}) {
    kernels::awq::LinearOutput part;
    part.rows = rows;
    part.outputs = kHidden;
    part.plan = PlanOfDown(kIntermediate / world_size, rows, properties.multiProcessorCount);
    part.partials = data;
    float* const behind = data + part.plan.PartialFloats(rows, kHidden);
    if (behind + int64_t{4} * rows * kHidden > data + kMost / 4) {
      Check(absl::InternalError("more pieces than there is room for"));
    }
    measure("linear_all_reduce", part, behind);
    const NormedSum normed(part, behind);
    const int64_t bytes = int64_t{rows} * kHidden * 4;
    report("linear_all_reduce_norm", "two_kernels", bytes,
           Measure(stream, [&] { return normed.InTwo(group, stream); }), all_reduce_factor);
    group.PreferNormPath(NormPath::kScaled);
    if (normed.InOneKernel(group, stream).ok()) {
      report("linear_all_reduce_norm", "one_kernel", bytes,
             Measure(stream, [&] { return normed.InOneKernel(group, stream); }), all_reduce_factor);
    }
    group.PreferNormPath(NormPath::kByRows);
    if (normed.ByRows(group, stream).ok()) {
      report("linear_all_reduce_norm", "by_rows", bytes,
             Measure(stream, [&] { return normed.ByRows(group, stream); }), all_reduce_factor);
    }
  }
  const Times gather = Measure(stream, [&] {
    return group.GatherToRoot(data, rank == 0 ? gathered : nullptr, logits, stream);
  });
  report("gather", "nccl", logits * 4, gather, world_size - 1);
  const Times broadcast = Measure(stream, [&] { return group.Broadcast(data, 16 * 4, stream); });
  report("broadcast", "nccl", int64_t{16} * 4, broadcast, 1);
  if (prints) std::printf("\n]}\n");
  return 0;
}

constexpr char kUsage[] = R"(usage: collective_bench [options]
Times the collectives of a step over the GPUs of a host, a process each; prints JSON.
  --ranks=2               on GPUs 0 and on
  --buffer-mib=64         of each of a rank's peer buffers; larger sums go in turns
)";

}  // namespace
}  // namespace sluice::worker

int main(int argc, char** argv) {
  int ranks = 2;
  int64_t buffer_mib = 64;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument.rfind("--ranks=", 0) == 0) {
      ranks = std::max(2, std::atoi(argument.c_str() + 8));
    } else if (argument.rfind("--buffer-mib=", 0) == 0) {
      buffer_mib = std::max(1, std::atoi(argument.c_str() + 13));
    } else {
      sluice::EndWithUsage(sluice::worker::kUsage, argument);
    }
  }
  for (const auto& entry : sluice::worker::kNcclEnvironment) setenv(entry.name, entry.value, 0);
  sluice::SharedTexts texts;
  return sluice::RunRankProcesses(
      ranks, [&](int rank) { return sluice::worker::Run(rank, ranks, buffer_mib << 20, texts); });
}
