// SPDX-License-Identifier: Apache-2.0
// sluice-worker: one rank (--rank), or the launcher of a whole group. Flags and folder are checked
// before a port listens or a process starts.
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "worker/config.h"
#include "worker/metrics.h"
#include "worker/parallel/nccl_environment.h"
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
    setenv(entry.name, entry.value, /*overwrite=*/0);
  }
}

int Refuse(const absl::Status& status) {
  std::fprintf(stderr, "sluice-worker: %s\n", std::string(status.message()).c_str());
  return kExitConfiguration;
}

int RunOneRank(const WorkerConfig& config, const ServedModel& model, WakeUp& wake_up) {
  const WorkerOptions& options = config.options;
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
  const WorkerOptions& options = config->options;
  const bool launches = options.rank < 0;
  InitializeLog(config->log_format, launches ? "launcher" : absl::StrCat("rank ", options.rank));
  WakeUp wake_up(/*with_children=*/launches);
  const absl::StatusOr<ServedModel> model = OpenModel(options);
  if (!model.ok()) return Refuse(model.status());
  if (config->check) {
    std::fputs(model->Summary(options).c_str(), stdout);
    return kExitOk;
  }
  if (launches) return RunLauncher(options, config->arguments, wake_up);
  return RunOneRank(*config, *model, wake_up);
}

}  // namespace
}  // namespace sluice::worker

int main(int argc, char** argv) { return sluice::worker::Main({argv + 1, argv + argc}); }
