// SPDX-License-Identifier: Apache-2.0
#include "kernels/device/launch.cuh"
#include "kernels/sampling/passes.h"
#include "kernels/sampling/row_logits.cuh"
#include "kernels/sampling/row_scan.cuh"
#include "kernels/sampling/row_task.cuh"
#include "kernels/sampling/row_view.cuh"
#include "kernels/sampling/segment_bound.cuh"
#include "kernels/sampling/value_order.cuh"

namespace sluice::kernels::sampling {
namespace {

constexpr int kWarps = 4;
constexpr int kThreads = kWarps * device::kWarpSize;
constexpr int kBlocksPerSm = 6;  // at once; all blocks are

__device__ Weight WarpSum(Weight value) {
  for (int offset = device::kWarpSize / 2; offset > 0; offset /= 2) {
    value += __shfl_xor_sync(0xffffffffu, value, offset);
  }
  return value;
}

// Shared memory adds 32-bit integers by itself, but 64-bit ones only in a loop of compare and swap.
struct Bins {
  uint32_t low[kBins], high[kBins];  // of the sums of weights
  uint32_t counts[kBins];

  __device__ void Clear(int i) { low[i] = high[i] = counts[i] = 0; }
  __device__ Weight WeightAt(int i) const { return Weight{high[i]} << 32 | low[i]; }
  __device__ void Add(int bin, Weight weight, uint32_t count) {
    const auto add = static_cast<uint32_t>(weight);
    const uint32_t old = atomicAdd(&low[bin], add);
    const uint32_t carry = old + add < old ? 1 : 0;
    const uint32_t more = static_cast<uint32_t>(weight >> 32) + carry;
    if (more != 0) atomicAdd(&high[bin], more);
    atomicAdd(&counts[bin], count);
  }
};

struct Scratch {
  RowScan scan[kWarps];
  Bins bins;
  float maxima[kMaxSegments];
  float reached;
};

// What a lane adds up of its segments. The last bin holds what is far from the largest value, most
// of a vocabulary, so it is counted in registers.
struct Tally {
  Weight sum = 0;  // of one segment
  Weight far_weight = 0;
  uint32_t far_count = 0;
};

__device__ void BinSegment(const Passes& p, const RowView& view, int l, int segment, Bins& bins,
                           Tally& tally) {
  const int vocab = p.logits.vocab();
  ForFours(p, l, segment, [&](int first, float4 x) {
    const float4 values = view.Values(first, x, vocab);
    const Seen seen[4] = {view.SeeValue(first, values.x), view.SeeValue(first + 1, values.y),
                          view.SeeValue(first + 2, values.z), view.SeeValue(first + 3, values.w)};
#pragma unroll
    for (const Seen& s : seen) {
      tally.sum += s.weight;
      const int bin = BinOf(s.value, view.task.max);
      const bool far = s.alive && bin == kBins - 1;
      tally.far_weight += far ? s.weight : 0;
      tally.far_count += far ? 1 : 0;
      if (s.alive && !far) bins.Add(bin, s.weight, 1);
    }
  });
}

// Lists the ids from a value on, too.
__device__ void SumSegment(const Passes& p, const RowView& view, int l, int64_t at, int segment,
                           float listed_from, Tally& tally) {
  const int vocab = p.logits.vocab();
  ForFours(p, l, segment, [&](int first, float4 x) {
    const float4 values = view.Values(first, x, vocab);
    const Seen seen[4] = {view.SeeValue(first, values.x), view.SeeValue(first + 1, values.y),
                          view.SeeValue(first + 2, values.z), view.SeeValue(first + 3, values.w)};
    tally.sum += seen[0].weight + seen[1].weight + (seen[2].weight + seen[3].weight);
    if (fmaxf(fmaxf(values.x, values.y), fmaxf(values.z, values.w)) < listed_from) return;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if (seen[i].value >= listed_from && seen[i].alive) {
        PushListed(p, at, seen[i].value, first + i);
      }
    }
  });
}

// A warp: one segment after the other of row blockIdx.y in domain blockIdx.z. Bins are added up in
// the block first.
__global__ void __launch_bounds__(kThreads, kBlocksPerSm) WeighKernel(Passes p) {
  __shared__ Scratch scratch;
  device::BeginChained();
  const int l = static_cast<int>(blockIdx.y);
  const auto domain = static_cast<Domain>(p.first_domain + static_cast<int>(blockIdx.z));
  if (l >= NumValid(p)) return;
  const Task task = TaskOf(p, domain, l, ScanOf(p, l, scratch.scan));
  if (!task.needed() || !task.summed()) return;
  const RowView view = RowViewOf(p, domain, l, task);
  const int64_t at = int64_t{domain} * p.num_logits + l;
  const int tid = static_cast<int>(threadIdx.x);
  if (task.by_bins) {
    for (int i = tid; i < kBins; i += kThreads) scratch.bins.Clear(i);
    __syncthreads();
  }
  const float listed_from =
      task.by_maxima ? LeastOfLargest(p, domain, l, task, scratch.maxima, &scratch.reached)
                     : -MinusInfinity();
  Tally tally;
  const int warp = static_cast<int>(blockIdx.x) * kWarps + tid / device::kWarpSize;
  for (int segment = warp; segment < p.num_segments;
       segment += static_cast<int>(gridDim.x) * kWarps) {
    tally.sum = 0;
    if (task.by_bins) {
      BinSegment(p, view, l, segment, scratch.bins, tally);
    } else {
      SumSegment(p, view, l, at, segment, listed_from, tally);
    }
    const Weight sum = WarpSum(tally.sum);
    if (tid % device::kWarpSize == 0) {
      p.workspace.segment_sums[at * p.num_segments + segment] = sum;
    }
  }
  if (!task.by_bins) return;
  if (tally.far_count > 0) scratch.bins.Add(kBins - 1, tally.far_weight, tally.far_count);
  __syncthreads();
  for (int i = tid; i < kBins; i += kThreads) {
    const uint32_t count = scratch.bins.counts[i];
    if (count == 0) continue;
    atomicAdd(&p.workspace.bin_weights[at * kBins + i], scratch.bins.WeightAt(i));
    atomicAdd(&p.workspace.bin_counts[at * kBins + i], count);
  }
}

}  // namespace

LaunchResult RunWeigh(const Passes& passes, cudaStream_t stream) {
  const dim3 grid = SegmentGrid(passes, kWarps, kBlocksPerSm);
  return AfterLaunch(device::LaunchChained(WeighKernel, grid, kThreads, 0, stream, passes),
                     "weights of logits");
}

}  // namespace sluice::kernels::sampling
