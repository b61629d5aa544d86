// SPDX-License-Identifier: Apache-2.0
// DecodeGraphs: the forward pass of steps in which every row decodes one token, captured once for
// each of a few batch sizes; a step takes the next larger one and pads. One launch instead of some
// four hundred, whatever the lengths of the rows.
//
// Used by the step thread. Destroyed before the communicator whose collectives the graphs hold.
#pragma once

#include <cuda_runtime_api.h>

#include <map>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "worker/device/graph.h"
#include "worker/executor/cuda/step_input.h"

namespace sluice::worker {

class DecodeGraphs {
 public:
  // Of the graphs for steps of up to max_rows rows, rising. None is larger than max_rows, for which
  // the workspace is made; the last one is just that where graphs reach so far.
  static std::vector<int> Sizes(int max_rows);
  // The smallest captured size that holds so many rows; 0: none does.
  int SizeFor(int rows) const;
  // What a step of so many rows looks like, padded to its graph's size.
  static StepShape ShapeOf(int size);

  // For each of Sizes(max_rows): runs enqueue(shape) once, so that libraries load what they need,
  // and captures it. All ranks of a group capture together.
  absl::Status Capture(int max_rows, cudaStream_t stream,
                       absl::FunctionRef<absl::Status(const StepShape&)> enqueue);

  // REQUIRES: size is one that SizeFor returned, and not 0.
  absl::Status Launch(int size, cudaStream_t stream) const {
    return graphs_.at(size).Launch(stream);
  }

 private:
  std::map<int, device::Graph> graphs_;  // by size
};

}  // namespace sluice::worker
