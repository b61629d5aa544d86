// SPDX-License-Identifier: Apache-2.0
// DecodeGraphs: the forward pass of steps in which every row decodes one token, captured once for
// each of a few batch sizes; a step takes the next larger one and pads. One launch instead of some
// four hundred, whatever the lengths of the rows.
//
// Used by the step thread. Destroyed before the communicator whose collectives the graphs hold.
#pragma once

#include <cuda_runtime_api.h>

#include <map>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "worker/device/graph.h"
#include "worker/executor/cuda/step_input.h"

namespace sluice::worker {

class DecodeGraphs {
 public:
  // The smallest size that holds so many rows; 0: none does.
  static int SizeFor(int rows);
  // What a step of so many rows looks like, padded to its graph's size.
  static StepShape ShapeOf(int size);

  // For every size up to that of max_rows: runs enqueue(shape) once, so that libraries load what
  // they need, and captures it. All ranks of a group capture together.
  absl::Status Capture(int max_rows, cudaStream_t stream,
                       absl::FunctionRef<absl::Status(const StepShape&)> enqueue);

  bool Has(int size) const { return graphs_.contains(size); }
  // REQUIRES: Has(size).
  absl::Status Launch(int size, cudaStream_t stream) const {
    return graphs_.at(size).Launch(stream);
  }

 private:
  std::map<int, device::Graph> graphs_;  // by size
};

}  // namespace sluice::worker
