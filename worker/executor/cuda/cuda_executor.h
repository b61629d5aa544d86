// SPDX-License-Identifier: Apache-2.0
// CudaExecutor: the Executor that runs on one GPU. It owns the rank's model, the state that
// sampling needs, and one stream on which all steps run in order. Submit writes a step's input into
// pinned memory and enqueues everything up to the copy of the results; Collect waits for that copy.
// Sampled ids stay on the device, where the next step, which may have been submitted by then, reads
// them.
//
// Threads: as Executor; Create, Submit, Collect and the destructor use the device, which they make
// current.
#pragma once

#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/executor/cuda/cuda_executor_options.h"
#include "worker/executor/executor.h"
#include "worker/model/model_folder.h"
#include "worker/parallel/device_communicator.h"

namespace sluice::worker {

class CudaExecutor final : public Executor {
 public:
  // Plans the device's memory, loads this rank's shard and captures the graphs; blocks for as long
  // as that takes. All ranks of a group create theirs together. communicator: this rank's, with
  // world_size() == folder.tp_size(); it must outlive the executor. The folder is needed during the
  // call only. RESOURCE_EXHAUSTED, with the arithmetic, when the device is too small.
  static absl::StatusOr<std::unique_ptr<CudaExecutor>> Create(const ModelFolder& folder,
                                                              const CudaExecutorOptions& options,
                                                              DeviceCommunicator* communicator);

  // How the device's memory would be shared out, as lines of text.
  static absl::StatusOr<std::string> DescribeMemory(const ModelFolder& folder,
                                                    const CudaExecutorOptions& options);

  // REQUIRES: every submitted step was collected.
  ~CudaExecutor() override;
  CudaExecutor(const CudaExecutor&) = delete;
  CudaExecutor& operator=(const CudaExecutor&) = delete;

  int num_pages() const override;
  absl::Status Submit(StepPlan plan) override;
  absl::StatusOr<StepResult> Collect(StepId step) override;

 private:
  class Impl;
  explicit CudaExecutor(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace sluice::worker
