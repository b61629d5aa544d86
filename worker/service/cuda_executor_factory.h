// SPDX-License-Identifier: Apache-2.0
// CudaExecutorFactory: a rank on a GPU of its own, through the CUDA plugin. Ranks meet by the
// group's id, which rank 0 makes. Threads as ExecutorFactory says.
#pragma once

#include <memory>
#include <string>

#include "worker/executor/cuda/plugin.h"
#include "worker/service/executor_factory.h"

namespace sluice::worker {

// What the options ask of an executor on a GPU.
CudaExecutorOptions MakeCudaExecutorOptions(const WorkerOptions& options, const ServedModel& model,
                                            int device_index);

class CudaExecutorFactory final : public ExecutorFactory {
 public:
  // Opens the plugin. rank and tp_size as options say.
  static absl::StatusOr<std::unique_ptr<ExecutorFactory>> Make(const WorkerOptions& options);

  absl::Status OpenGroup(v1::JoinAccepted* accepted) override;
  absl::Status JoinGroup(const v1::JoinAccepted& accepted) override;
  absl::StatusOr<std::unique_ptr<Executor>> MakeExecutor(const WorkerOptions& options,
                                                         const ServedModel& model) override;
  void Abort() override { plugin_.abort_communicator(communicator_.get()); }

 private:
  CudaExecutorFactory(const WorkerOptions& options, const CudaPlugin& plugin, int device_index)
      : plugin_(plugin),
        rank_(options.rank),
        tp_size_(options.tp_size),
        all_reduce_(options.all_reduce),
        device_index_(device_index) {}

  absl::Status StartCommunicator(const std::string& unique_id);

  const CudaPlugin& plugin_;
  const int rank_;
  const int tp_size_;
  const AllReduceMode all_reduce_;
  const int device_index_;
  DeviceCommunicatorPtr communicator_;  // set by OpenGroup or JoinGroup
};

// How a GPU's memory would be shared out, as lines of text, for `--check`.
absl::StatusOr<std::string> DescribeCudaMemory(const WorkerOptions& options,
                                               const ServedModel& model);

}  // namespace sluice::worker
