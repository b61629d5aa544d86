// SPDX-License-Identifier: Apache-2.0
#include "worker/device/graph.h"

#include "proto/wire/status_macros.h"
#include "worker/device/cuda_status.h"

namespace sluice::worker::device {

absl::StatusOr<Graph> Graph::Capture(cudaStream_t stream,
                                     absl::FunctionRef<absl::Status()> enqueue) {
  SLUICE_RETURN_IF_ERROR(ToStatus(
      cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "beginning a capture"));
  const absl::Status enqueued = enqueue();
  // Ended in any case: a stream that is left capturing is of no more use.
  cudaGraph_t captured = nullptr;
  const absl::Status ended =
      ToStatus(cudaStreamEndCapture(stream, &captured), "ending a capture");
  Graph graph;
  absl::Status status = enqueued.ok() ? ended : enqueued;
  if (status.ok()) {
    status = ToStatus(cudaGraphInstantiate(&graph.exec_, captured, 0), "instantiating a graph");
    if (!status.ok()) graph.exec_ = nullptr;
  }
  if (captured != nullptr) cudaGraphDestroy(captured);
  if (!status.ok()) return status;
  return graph;
}

Graph::~Graph() {
  if (exec_ != nullptr) cudaGraphExecDestroy(exec_);
}

absl::Status Graph::Launch(cudaStream_t stream) const {
  return ToStatus(cudaGraphLaunch(exec_, stream), "launching a graph");
}

}  // namespace sluice::worker::device
