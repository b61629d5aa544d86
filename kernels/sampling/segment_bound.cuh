// SPDX-License-Identifier: Apache-2.0
// Where the largest values of a row are, as the scan's maxima of segments tell.
#pragma once

#include "kernels/sampling/row_task.cuh"

namespace sluice::kernels::sampling {

// The maxima of the row's segments, and the num_largest-th of them: at least so many ids have this
// value or a larger one. Every thread of the block gets it. maxima: shared, [kMaxSegments], filled.
// REQUIRES: task.by_maxima.
__device__ inline float LeastOfLargest(const Passes& p, Domain domain, int l, const Task& task,
                                       float* maxima, float* reached) {
  const SegmentScan* segments = p.workspace.scans + int64_t{l} * p.num_segments;
  const int count = domain == kRaw ? p.num_token_ids / kSegment : p.num_segments;
  const int stride = static_cast<int>(blockDim.x);
  for (int i = static_cast<int>(threadIdx.x); i < count; i += stride) {
    const float max = domain == kRaw ? segments[i].raw_max : segments[i].max;
    maxima[i] = task.random ? max / task.temperature : max;
  }
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.x); i < count; i += stride) {
    const float own = maxima[i];
    int rank = 0;
#pragma unroll 8
    for (int other = 0; other < count; ++other) {
      const float max = maxima[other];
      rank += max > own || (max == own && other < i) ? 1 : 0;
    }
    if (rank == task.num_largest() - 1) *reached = own;
  }
  __syncthreads();
  return *reached;
}

}  // namespace sluice::kernels::sampling
