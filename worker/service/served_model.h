// SPDX-License-Identifier: Apache-2.0
// ServedModel: the model folder as this worker will serve it: opened and checked, with the limits
// that options and memory allow. Made before any port listens, so everything that is wrong with
// folder or options is one sentence and an exit. Immutable; any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "sluice/worker/v1/engine.pb.h"
#include "worker/engine/request_validation.h"
#include "worker/model/model_folder.h"
#include "worker/service/worker_options.h"
#include "worker/vocabulary/vocabulary.h"

namespace sluice::worker {

struct ServedModel {
  std::shared_ptr<const ModelFolder> folder;
  std::string name;
  std::string tokenizer_sha256;  // empty without a tokenizer.json (dummy weights only)
  ModelLimits limits;
  // Of each rank, the scratch page included. 0 on a GPU: known once the executor is made.
  int num_pages = 0;

  // What `--check` prints; on a GPU, without its memory.
  std::string Summary(const WorkerOptions& options) const;
};

// Bytes that the processes of a group may use together: the machine's, or its container's where
// that is less.
int64_t MachineMemory();

// INVALID_ARGUMENT and the like, in one sentence that names file, tensor or flag and the numbers.
absl::StatusOr<ServedModel> OpenModel(const WorkerOptions& options);

v1::ModelInfo MakeModelInfo(const ServedModel& model, const WorkerOptions& options);

// Version and a digest of this executable: ranks of one group must agree.
std::string BuildId();

}  // namespace sluice::worker
