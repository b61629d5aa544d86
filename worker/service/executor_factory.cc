// SPDX-License-Identifier: Apache-2.0
#include "worker/service/executor_factory.h"

#include <spdlog/spdlog.h>

#include <algorithm>

#include "worker/service/cpu_executor_factory.h"
#include "worker/service/cuda_executor_factory.h"

namespace sluice::worker {

std::function<void(int64_t, int64_t)> LogLoading(int rank) {
  return [rank, last = int64_t{-1}](int64_t done, int64_t total) mutable {
    const int64_t tenth = total > 0 ? std::min<int64_t>(done * 10 / total, 10) : 10;
    if (tenth == last) return;
    last = tenth;
    spdlog::info("loading weights of rank {}: {}% of {} MiB", rank, tenth * 10, total >> 20);
  };
}

absl::StatusOr<std::unique_ptr<ExecutorFactory>> ExecutorFactory::Make(
    const WorkerOptions& options) {
  if (options.device == Device::kCuda) return CudaExecutorFactory::Make(options);
  return std::make_unique<CpuExecutorFactory>(options);
}

}  // namespace sluice::worker
