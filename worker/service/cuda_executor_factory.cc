// SPDX-License-Identifier: Apache-2.0
#include "worker/service/cuda_executor_factory.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "proto/wire/status_macros.h"
#include "worker/service/cuda_plugin.h"
#include "worker/service/device_choice.h"

namespace sluice::worker {
namespace {

absl::StatusOr<int> DeviceIndex(const CudaPlugin& plugin, int rank) {
  SLUICE_ASSIGN_OR_RETURN(const std::vector<CudaDevice> devices, UsableCudaDevices(plugin));
  return DeviceIndexOf(rank, static_cast<int>(devices.size()));
}

}  // namespace

CudaExecutorOptions MakeCudaExecutorOptions(const WorkerOptions& options, const ServedModel& model,
                                            int device_index) {
  CudaExecutorOptions executor;
  executor.device_index = device_index;
  executor.gpu_memory_utilization = options.gpu_memory_utilization;
  executor.kv_cache_bytes = options.kv_cache_bytes;
  executor.max_rows = options.max_num_seqs;
  executor.max_batched_tokens = options.max_prefill_tokens;
  executor.max_model_len = model.limits.max_model_len;
  // Each row samples once, and again after each of its drafts.
  executor.max_logits =
      options.max_num_seqs +
      std::min(options.max_num_seqs, options.speculation_max_rows) * options.speculative_tokens;
  executor.num_token_ids = model.limits.vocab_size;
  executor.processed_logprobs = options.processed_logprobs;
  return executor;
}

absl::StatusOr<std::unique_ptr<ExecutorFactory>> CudaExecutorFactory::Make(
    const WorkerOptions& options) {
  SLUICE_ASSIGN_OR_RETURN(const CudaPlugin* plugin, OpenCudaPlugin());
  SLUICE_ASSIGN_OR_RETURN(const int device_index, DeviceIndex(*plugin, options.rank));
  return std::unique_ptr<ExecutorFactory>(new CudaExecutorFactory(options, *plugin, device_index));
}

absl::Status CudaExecutorFactory::OpenGroup(v1::JoinAccepted* accepted) {
  std::string unique_id;
  if (tp_size_ > 1) {
    SLUICE_ASSIGN_OR_RETURN(unique_id, plugin_.create_unique_id());
  }
  accepted->set_collective_id(unique_id);
  return StartCommunicator(unique_id);
}

absl::Status CudaExecutorFactory::JoinGroup(const v1::JoinAccepted& accepted) {
  return StartCommunicator(accepted.collective_id());
}

absl::Status CudaExecutorFactory::StartCommunicator(const std::string& unique_id) {
  SLUICE_ASSIGN_OR_RETURN(communicator_, plugin_.create_communicator({.device_index = device_index_,
                                                                      .rank = rank_,
                                                                      .world_size = tp_size_,
                                                                      .unique_id = unique_id,
                                                                      .all_reduce = all_reduce_}));
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Executor>> CudaExecutorFactory::MakeExecutor(
    const WorkerOptions& options, const ServedModel& model) {
  CudaExecutorOptions executor = MakeCudaExecutorOptions(options, model, device_index_);
  executor.on_progress = LogLoading(rank_);
  SLUICE_ASSIGN_OR_RETURN(auto made,
                          plugin_.create_executor(*model.folder, executor, communicator_.get()));
  if (rank_ == 0 && tp_size_ > 1) spdlog::info("{}", plugin_.describe_communicator(*communicator_));
  return made;
}

absl::StatusOr<std::string> DescribeCudaMemory(const WorkerOptions& options,
                                               const ServedModel& model) {
  SLUICE_ASSIGN_OR_RETURN(const CudaPlugin* plugin, OpenCudaPlugin());
  SLUICE_ASSIGN_OR_RETURN(const int device_index, DeviceIndex(*plugin, options.rank));
  return plugin->describe_memory(*model.folder,
                                 MakeCudaExecutorOptions(options, model, device_index));
}

}  // namespace sluice::worker
