// SPDX-License-Identifier: Apache-2.0
// Latency of the CPU collectives between processes: all-reduce of one decode step's activations
// (5,120 floats, 20 KB) and smaller and larger ones, over 2 and 4 ranks. Prints JSON.
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "worker/parallel/shared_memory_communicator.h"

namespace sluice::worker {
namespace {

using Clock = std::chrono::steady_clock;

struct Latency {
  double median_us;
  double p99_us;
};

Latency Measure(Communicator& communicator, size_t floats, int rounds) {
  std::vector<float> data(floats, 0.0f);
  std::vector<double> times;
  times.reserve(static_cast<size_t>(rounds));
  for (int round = 0; round < rounds; ++round) {
    const Clock::time_point start = Clock::now();
    if (!communicator.AllReduceSum(data).ok()) std::exit(1);
    times.push_back(std::chrono::duration<double, std::micro>(Clock::now() - start).count());
  }
  std::sort(times.begin(), times.end());
  return {times[times.size() / 2], times[times.size() * 99 / 100]};
}

void Run(int world_size, const char* separator) {
  constexpr int kRounds = 5000;
  constexpr size_t kSizes[] = {384, 5120, 5120 * 32};
  auto leader = SharedMemoryCommunicator::Create(world_size, {});
  if (!leader.ok()) std::exit(1);
  std::vector<pid_t> children;
  for (int rank = 1; rank < world_size; ++rank) {
    const pid_t child = fork();
    if (child == 0) {
      auto peer = SharedMemoryCommunicator::Open((*leader)->segment_name(), rank, world_size, {});
      if (!peer.ok()) _exit(1);
      for (const size_t floats : kSizes) Measure(**peer, floats, kRounds);
      _exit(0);
    }
    children.push_back(child);
  }
  for (const size_t floats : kSizes) {
    const Latency latency = Measure(**leader, floats, kRounds);
    std::printf("%s\n {\"ranks\": %d, \"bytes\": %zu, \"median_us\": %.2f, \"p99_us\": %.2f}",
                separator, world_size, floats * sizeof(float), latency.median_us, latency.p99_us);
    separator = ",";
  }
  for (const pid_t child : children) waitpid(child, nullptr, 0);
}

}  // namespace
}  // namespace sluice::worker

int main() {
  std::printf("{\"bench\": \"all_reduce\", \"runs\": [");
  std::fflush(stdout);  // children must not inherit the text
  sluice::worker::Run(2, "");
  std::fflush(stdout);
  sluice::worker::Run(4, ",");
  std::printf("\n]}\n");
  return 0;
}
