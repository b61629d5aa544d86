// SPDX-License-Identifier: Apache-2.0
// Graph: work that was captured from a stream once and is launched as one piece from then on. What
// varies between launches lies in device memory that the captured kernels read.
//
// Captured and launched by one thread. Destroyed before the communicator whose operations it
// holds, and after the last launch has run.
#pragma once

#include <cuda_runtime_api.h>

#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace sluice::worker::device {

class Graph {
 public:
  Graph() = default;
  // Runs enqueue, which puts work on the stream and must neither wait nor allocate; nothing of it
  // runs yet. Other threads may go on using the device meanwhile.
  static absl::StatusOr<Graph> Capture(cudaStream_t stream,
                                       absl::FunctionRef<absl::Status()> enqueue);
  ~Graph();
  Graph(Graph&& other) noexcept : exec_(std::exchange(other.exec_, nullptr)) {}
  Graph& operator=(Graph&& other) noexcept {
    std::swap(exec_, other.exec_);
    return *this;
  }

  bool empty() const { return exec_ == nullptr; }
  absl::Status Launch(cudaStream_t stream) const;

 private:
  cudaGraphExec_t exec_ = nullptr;
};

}  // namespace sluice::worker::device
