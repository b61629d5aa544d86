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

// What a lane adds up of its segments. The last bin holds what is far from the largest value, most
// of a vocabulary, so it is counted in registers.
struct Tally {
  Weight sum = 0;  // of one segment
  Weight far_weight = 0;
  uint32_t far_count = 0;
};

// kPlain: as RowView's.
template <bool kPlain>
__device__ void BinSegment(const Passes& p, const RowView& view, int l, int segment, Bins& bins,
                           Tally& tally) {
  ForSegment(p, l, segment, [&](int id, float x) {
    const float value = view.Value<kPlain>(id, x);
    const Seen seen = view.SeeValue(id, value);
    tally.sum += seen.weight;
    if (!seen.alive) return;
    const int bin = BinOf(value, view.task.max);
    if (bin == kBins - 1) {
      tally.far_weight += seen.weight;
      ++tally.far_count;
    } else {
      bins.Add(bin, seen.weight, 1);
    }
  });
}

// Lists the ids from a value on.
template <bool kPlain>
__device__ void SumSegment(const Passes& p, const RowView& view, int l, int64_t at, int segment,
                           float listed_from, Tally& tally) {
  const bool summed = view.task.summed();
  ForSegment(p, l, segment, [&](int id, float x) {
    const float value = view.Value<kPlain>(id, x);
    const bool listed = value >= listed_from;
    if (!listed && !summed) return;
    const Seen seen = view.SeeValue(id, value);
    tally.sum += seen.weight;
    if (listed && seen.alive) PushListed(p, at, value, id);
  });
}

// A warp: one segment after the other of row blockIdx.y in domain blockIdx.z. Bins are added up in
// the block first.
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
    for (int i = tid; i < kBins; i += kThreads) scratch.bins.Clear(i);
    __syncthreads();
  }
  const float listed_from =
      task.by_maxima ? LeastOfLargest(p, domain, l, task, scratch) : -MinusInfinity();
  Tally tally;
  const int warp = static_cast<int>(blockIdx.x) * kWarps + tid / device::kWarpSize;
  for (int segment = warp; segment < p.num_segments;
       segment += static_cast<int>(gridDim.x) * kWarps) {
    // Most segments have none of the ids that are listed. (What is not summed is drawn from, so
    // that there is a maximum for each segment.)
    if (!task.summed() && scratch.maxima[segment] < listed_from) continue;
    const bool plain = view.Plain((segment + 1) * kSegment);
    tally.sum = 0;
    if (task.by_bins) {
      if (plain) {
        BinSegment<true>(p, view, l, segment, scratch.bins, tally);
      } else {
        BinSegment<false>(p, view, l, segment, scratch.bins, tally);
      }
    } else if (plain) {
      SumSegment<true>(p, view, l, at, segment, listed_from, tally);
    } else {
      SumSegment<false>(p, view, l, at, segment, listed_from, tally);
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
  const int blocks = std::clamp(8 * passes.num_sms / passes.num_logits, 1,
                                (passes.num_segments + kWarps - 1) / kWarps);
  const dim3 grid(static_cast<unsigned>(blocks), static_cast<unsigned>(passes.num_logits),
                  static_cast<unsigned>(passes.num_domains));
  return AfterLaunch(device::Launch(WeighKernel, grid, kThreads, 0, stream, passes),
                     "weights of logits");
}

}  // namespace sluice::kernels::sampling
