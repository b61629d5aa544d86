// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "kernels/device/launch.cuh"
#include "kernels/sampling/passes.h"
#include "kernels/sampling/row_values.cuh"

namespace sluice::kernels::sampling {
namespace {

constexpr int kWarps = 4;
constexpr int kThreads = kWarps * device::kWarpSize;

__device__ Weight WarpSum(Weight value) {
  for (int offset = device::kWarpSize / 2; offset > 0; offset /= 2) {
    value += __shfl_xor_sync(0xffffffffu, value, offset);
  }
  return value;
}

struct Scratch {
  RowScan scan[kWarps];
  Weight bin_weights[kBins];
  uint32_t bin_counts[kBins];
  float maxima[kMaxSegments];
  float reached;
};

// The num_largest-th of the segments' maxima: at least so many ids have this value or a larger one.
// Every thread gets it.
__device__ float LeastOfLargest(const Passes& p, Domain domain, int l, const Task& task,
                                Scratch& scratch) {
  const SegmentScan* segments = p.workspace.scans + int64_t{l} * p.num_segments;
  const int count = domain == kRaw ? p.num_token_ids / kSegment : p.num_segments;
  for (int i = static_cast<int>(threadIdx.x); i < count; i += kThreads) {
    const float max = domain == kRaw ? segments[i].raw_max : segments[i].max;
    scratch.maxima[i] = task.random ? max / task.temperature : max;
  }
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.x); i < count; i += kThreads) {
    const float own = scratch.maxima[i];
    int rank = 0;
    for (int other = 0; other < count; ++other) {
      const float max = scratch.maxima[other];
      rank += max > own || (max == own && other < i) ? 1 : 0;
    }
    if (rank == task.num_largest() - 1) scratch.reached = own;
  }
  __syncthreads();
  return scratch.reached;
}

// A warp: one segment after the other of row blockIdx.y in domain blockIdx.z. Bins are added up in
// the block first. The last bin holds what is far from the largest value, most of a vocabulary, so
// it is counted in registers.
__global__ void __launch_bounds__(kThreads, 6) WeighKernel(Passes p) {
  __shared__ Scratch scratch;
  const int l = static_cast<int>(blockIdx.y);
  const auto domain = static_cast<Domain>(p.first_domain + static_cast<int>(blockIdx.z));
  if (l >= NumValid(p)) return;
  const Task task = TaskOf(p, domain, l, ScanOf(p, l, scratch.scan));
  if (!task.needed()) return;
  const RowView view = RowViewOf(p, domain, l, task);
  const int64_t at = int64_t{domain} * p.num_logits + l;
  const int tid = static_cast<int>(threadIdx.x);
  if (task.by_bins) {
    for (int i = tid; i < kBins; i += kThreads) {
      scratch.bin_weights[i] = 0;
      scratch.bin_counts[i] = 0;
    }
    __syncthreads();
  }
  const float listed_from =
      task.by_maxima ? LeastOfLargest(p, domain, l, task, scratch) : -MinusInfinity();
  Weight far_weight = 0;
  uint32_t far_count = 0;
  const int warp = static_cast<int>(blockIdx.x) * kWarps + tid / device::kWarpSize;
  for (int segment = warp; segment < p.num_segments;
       segment += static_cast<int>(gridDim.x) * kWarps) {
    Weight sum = 0;
    ForSegment(p, l, segment, [&](int id, float x) {
      const float value = view.Value(id, x);
      const bool listed = task.by_maxima && value >= listed_from;
      if (!listed && !task.summed()) return;
      const Seen seen = view.SeeValue(id, value);
      sum += seen.weight;
      if (!seen.alive) return;
      if (listed) PushListed(p, at, value, id);
      if (!task.by_bins) return;
      const int bin = BinOf(value, task.max);
      if (bin == kBins - 1) {
        far_weight += seen.weight;
        ++far_count;
      } else {
        atomicAdd(&scratch.bin_weights[bin], seen.weight);
        atomicAdd(&scratch.bin_counts[bin], 1u);
      }
    });
    sum = WarpSum(sum);
    if (tid % device::kWarpSize == 0) {
      p.workspace.segment_sums[at * p.num_segments + segment] = sum;
    }
  }
  if (!task.by_bins) return;
  if (far_count > 0) {
    atomicAdd(&scratch.bin_weights[kBins - 1], far_weight);
    atomicAdd(&scratch.bin_counts[kBins - 1], far_count);
  }
  __syncthreads();
  for (int i = tid; i < kBins; i += kThreads) {
    if (scratch.bin_counts[i] == 0) continue;
    atomicAdd(&p.workspace.bin_weights[at * kBins + i], scratch.bin_weights[i]);
    atomicAdd(&p.workspace.bin_counts[at * kBins + i], scratch.bin_counts[i]);
  }
}

}  // namespace

LaunchResult RunWeigh(const Passes& passes, cudaStream_t stream) {
  const int blocks = std::clamp(8 * passes.num_sms / passes.num_logits, 1,
                                (passes.num_segments + kWarps - 1) / kWarps);
  const dim3 grid(static_cast<unsigned>(blocks), static_cast<unsigned>(passes.num_logits),
                  static_cast<unsigned>(passes.num_domains));
  return AfterLaunch(device::Launch(WeighKernel, grid, kThreads, 0, stream, passes),
                     "weights of logits");
}

}  // namespace sluice::kernels::sampling
