// SPDX-License-Identifier: Apache-2.0
// LoadWeights: from a model folder's files, or dummy weights, to a rank's DeviceWeights. Several
// reader threads take pieces of the shard in turn: each copies its piece out of the page cache into
// its own pinned buffer, converts it where needed, and enqueues the copy to the device and, for
// AWQ, the repacking there. So reading, copying and repacking of different pieces overlap, and what
// is on its way is bounded by num_readers * slot_bytes on the host and as much on the device.
#pragma once

#include <cstdint>
#include <functional>

#include "absl/status/statusor.h"
#include "worker/executor/cuda/device_weights.h"
#include "worker/model/model_folder.h"

namespace sluice::worker {

struct WeightLoaderOptions {
  int device_index = 0;
  int rank = 0;
  int num_readers = 0;  // 0: the machine's hardware threads over tp_size, from 2 to 8
  int64_t slot_bytes = int64_t{32} << 20;  // most that a reader has on its way
  // Bytes of the rank's shard, rising; the last call has both equal. One call at a time,
  // on the readers' threads. May be empty.
  std::function<void(int64_t done_bytes, int64_t total_bytes)> on_progress = {};
};

// Blocks until everything is on the device. Errors name the tensor. The folder is needed during
// the call only.
absl::StatusOr<DeviceWeights> LoadWeights(const ModelFolder& folder,
                                          const WeightLoaderOptions& options);

}  // namespace sluice::worker
