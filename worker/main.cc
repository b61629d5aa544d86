// SPDX-License-Identifier: Apache-2.0
// sluice-worker: one rank (--rank), or the launcher of a whole group. Flags and folder are checked
// before a port listens or a process starts.
#include <spdlog/spdlog.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "worker/config.h"
#include "worker/metrics.h"
#include "worker/parallel/nccl_environment.h"
#include "worker/service/cuda_executor_factory.h"
#include "worker/service/device_choice.h"
#include "worker/service/launcher.h"
#include "worker/service/leader.h"
#include "worker/service/log.h"
#include "worker/service/rank.h"
#include "worker/service/served_model.h"
#include "worker/service/wake_up.h"

namespace sluice::worker {
namespace {

// What the operator has set stays. Ranks inherit it from their launcher.
void SetEnvironmentDefaults() {
  for (const EnvironmentDefault& entry : kNcclEnvironment) {
    // NOLINTNEXTLINE(concurrency-mt-unsafe): before a second thread runs
    setenv(entry.name, entry.value, /*overwrite=*/0);
  }
}

int Refuse(const absl::Status& status) {
  std::fprintf(stderr, "sluice-worker: %s\n", std::string(status.message()).c_str());
  return kExitConfiguration;
}

int Check(const WorkerOptions& options, const ServedModel& model) {
  std::string summary = model.Summary(options);
  if (options.device == Device::kCuda) {
    const absl::StatusOr<std::string> memory = DescribeCudaMemory(options, model);
    if (!memory.ok()) return Refuse(memory.status());
    summary += *memory;
  }
  std::fputs(summary.c_str(), stdout);
  return kExitOk;
}

int RunOneRank(const WorkerOptions& options, const ServedModel& model, WakeUp& wake_up) {
  auto metrics = Metrics::Listen(options.listen, options.metrics_port);
  if (!metrics.ok()) return Refuse(metrics.status());
  if (options.rank > 0) return RunRank(options, model, **metrics, wake_up);
  return RunLeader(options, model, **metrics, (*metrics)->address(), wake_up);
}

int Main(const std::vector<std::string>& arguments) {
  SetEnvironmentDefaults();  // before there is a thread that could read it meanwhile
  const absl::StatusOr<WorkerConfig> config = ParseConfig(arguments);
  if (!config.ok()) return Refuse(config.status());
  if (config->help) {
    std::fputs(ConfigHelp().c_str(), stdout);
    return kExitOk;
  }
  if (config->version) {
    std::printf("sluice-worker %s\n", BuildId().c_str());
    return kExitOk;
  }
  WorkerOptions options = config->options;
  const bool launches = options.rank < 0;
  InitializeLog(config->log_format, launches ? "launcher" : absl::StrCat("rank ", options.rank));
  WakeUp wake_up(/*with_children=*/launches);
  const absl::StatusOr<std::string> device_note = ResolveDevice(&options);
  if (!device_note.ok()) return Refuse(device_note.status());
  const absl::StatusOr<ServedModel> model = OpenModel(options);
  if (!model.ok()) return Refuse(model.status());
  if (config->check) return Check(options, *model);
  // Only now: what is refused is refused in one line.
  if (!device_note->empty()) spdlog::info("{}", *device_note);
  if (launches) return RunLauncher(options, config->arguments, wake_up);
  return RunOneRank(options, *model, wake_up);
}

}  // namespace
}  // namespace sluice::worker

int main(int argc, char** argv) { return sluice::worker::Main({argv + 1, argv + argc}); }
