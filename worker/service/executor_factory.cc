// SPDX-License-Identifier: Apache-2.0
#include "worker/service/executor_factory.h"

#include "worker/service/cpu_executor_factory.h"

namespace sluice::worker {

absl::StatusOr<std::unique_ptr<ExecutorFactory>> ExecutorFactory::Make(
    const WorkerOptions& options) {
  return std::make_unique<CpuExecutorFactory>(options);
}

}  // namespace sluice::worker
