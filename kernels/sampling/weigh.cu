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

// A warp: one segment after the other of row blockIdx.y in domain blockIdx.z. Bins are added up in
// the block first. The last bin holds what is far from the largest value, most of a vocabulary, so
// it is counted in registers.
__global__ void __launch_bounds__(kThreads) WeighKernel(Passes p) {
  __shared__ RowScan scratch[kWarps];
  __shared__ Weight bin_weights[kBins];
  __shared__ uint32_t bin_counts[kBins];
  const int l = static_cast<int>(blockIdx.y);
  const auto domain = static_cast<Domain>(p.first_domain + static_cast<int>(blockIdx.z));
  if (l >= NumValid(p)) return;
  const Task task = TaskOf(p, domain, l, ScanOf(p, l, scratch));
  if (!task.needed()) return;
  const RowView view = RowViewOf(p, domain, l, task);
  const int64_t at = int64_t{domain} * p.num_logits + l;
  const bool binned = task.binned();
  const int tid = static_cast<int>(threadIdx.x);
  if (binned) {
    for (int i = tid; i < kBins; i += kThreads) {
      bin_weights[i] = 0;
      bin_counts[i] = 0;
    }
    __syncthreads();
  }
  Weight far_weight = 0;
  uint32_t far_count = 0;
  const int warp = static_cast<int>(blockIdx.x) * kWarps + tid / device::kWarpSize;
  for (int segment = warp; segment < p.num_segments;
       segment += static_cast<int>(gridDim.x) * kWarps) {
    Weight sum = 0;
    ForSegment(p, l, segment, [&](int id, float x) {
      const Seen seen = view.See(id, x);
      sum += seen.weight;
      if (!binned || !seen.alive) return;
      const int bin = BinOf(seen.value, task.max);
      if (bin == kBins - 1) {
        far_weight += seen.weight;
        ++far_count;
      } else {
        atomicAdd(&bin_weights[bin], seen.weight);
        atomicAdd(&bin_counts[bin], 1u);
      }
    });
    sum = WarpSum(sum);
    if (tid % device::kWarpSize == 0) {
      p.workspace.segment_sums[at * p.num_segments + segment] = sum;
    }
  }
  if (!binned) return;
  if (far_count > 0) {
    atomicAdd(&bin_weights[kBins - 1], far_weight);
    atomicAdd(&bin_counts[kBins - 1], far_count);
  }
  __syncthreads();
  for (int i = tid; i < kBins; i += kThreads) {
    if (bin_counts[i] == 0) continue;
    atomicAdd(&p.workspace.bin_weights[at * kBins + i], bin_weights[i]);
    atomicAdd(&p.workspace.bin_counts[at * kBins + i], bin_counts[i]);
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
