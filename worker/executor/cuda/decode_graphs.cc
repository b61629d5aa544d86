// SPDX-License-Identifier: Apache-2.0
#include "worker/executor/cuda/decode_graphs.h"

#include <algorithm>
#include <iterator>
#include <vector>

#include "proto/wire/status_macros.h"
#include "worker/device/cuda_status.h"

namespace sluice::worker {
namespace {

// Dense where a padded row would be a large part of the work.
constexpr int kSizes[] = {1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 160, 192, 224, 256};

}  // namespace

std::vector<int> DecodeGraphs::Sizes(int max_rows) {
  const int most = std::min(max_rows, *std::rbegin(kSizes));
  std::vector<int> sizes;
  std::copy_if(std::begin(kSizes), std::end(kSizes), std::back_inserter(sizes),
               [most](int size) { return size < most; });
  if (most > 0) sizes.push_back(most);
  return sizes;
}

int DecodeGraphs::SizeFor(int rows) const {
  const auto graph = graphs_.lower_bound(rows);
  return graph == graphs_.end() ? 0 : graph->first;
}

StepShape DecodeGraphs::ShapeOf(int size) {
  return {.tokens = size, .decodes = size, .tiles = 0, .logits = size};
}

absl::Status DecodeGraphs::Capture(int max_rows, cudaStream_t stream,
                                   absl::FunctionRef<absl::Status(const StepShape&)> enqueue) {
  for (const int size : Sizes(max_rows)) {
    const StepShape shape = ShapeOf(size);
    SLUICE_RETURN_IF_ERROR(enqueue(shape));
    SLUICE_RETURN_IF_ERROR(
        device::ToStatus(cudaStreamSynchronize(stream), "running a decode step to warm up"));
    SLUICE_ASSIGN_OR_RETURN(graphs_[size],
                            device::Graph::Capture(stream, [&] { return enqueue(shape); }));
  }
  return absl::OkStatus();
}

}  // namespace sluice::worker
