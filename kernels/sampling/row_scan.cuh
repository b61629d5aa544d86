// SPDX-License-Identifier: Apache-2.0
// What all of a row's segments together have: the largest logit, and whether one is no number.
#pragma once

#include "kernels/sampling/row_logits.cuh"

namespace sluice::kernels::sampling {

// Of a whole row of logits.
struct RowScan {
  float max;
  int argmax;  // -1: nothing is left
  float raw_max;
  bool bad;
};

// Orders (value, id) pairs: larger values first, of equals the lower id.
__device__ inline void KeepLarger(float value, int id, float* max, int* argmax) {
  if (value > *max || (value == *max && id < *argmax)) {
    *max = value;
    *argmax = id;
  }
}

// Every thread of the block gets the row's scan. scratch: shared, one a warp; free again after the
// next barrier.
__device__ inline RowScan ScanOf(const Passes& p, int l, RowScan* scratch) {
  const SegmentScan* segments = p.workspace.scans + int64_t{l} * p.num_segments;
  constexpr int kNone = 0x7fffffff;
  RowScan scan = {MinusInfinity(), kNone, MinusInfinity(), false};
  for (int i = static_cast<int>(threadIdx.x); i < p.num_segments;
       i += static_cast<int>(blockDim.x)) {
    const SegmentScan s = segments[i];
    KeepLarger(s.max, s.argmax, &scan.max, &scan.argmax);
    scan.raw_max = fmaxf(scan.raw_max, s.raw_max);
    scan.bad = scan.bad || s.bad != 0;
  }
  for (int offset = device::kWarpSize / 2; offset > 0; offset /= 2) {
    const float max = __shfl_xor_sync(0xffffffffu, scan.max, offset);
    const int argmax = __shfl_xor_sync(0xffffffffu, scan.argmax, offset);
    KeepLarger(max, argmax, &scan.max, &scan.argmax);
    scan.raw_max = fmaxf(scan.raw_max, __shfl_xor_sync(0xffffffffu, scan.raw_max, offset));
  }
  scan.bad = __ballot_sync(0xffffffffu, scan.bad) != 0;
  if (threadIdx.x % device::kWarpSize == 0) scratch[threadIdx.x / device::kWarpSize] = scan;
  __syncthreads();
  for (unsigned warp = 0; warp < blockDim.x / device::kWarpSize; ++warp) {
    const RowScan other = scratch[warp];
    KeepLarger(other.max, other.argmax, &scan.max, &scan.argmax);
    scan.raw_max = fmaxf(scan.raw_max, other.raw_max);
    scan.bad = scan.bad || other.bad;
  }
  if (scan.max == MinusInfinity()) scan.argmax = -1;
  return scan;
}

}  // namespace sluice::kernels::sampling
