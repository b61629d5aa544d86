// SPDX-License-Identifier: Apache-2.0
#include "kernels/device/launch.cuh"
#include "kernels/sampling/passes.h"
#include "kernels/sampling/row_logits.cuh"
#include "kernels/sampling/row_scan.cuh"
#include "kernels/sampling/row_task.cuh"
#include "kernels/sampling/row_view.cuh"
#include "kernels/sampling/value_order.cuh"
#include "kernels/sampling/weight.cuh"

namespace sluice::kernels::sampling {
namespace {

constexpr int kWarps = 4;
constexpr int kThreads = kWarps * device::kWarpSize;
constexpr int kBlocksPerSm = 6;  // at once; all blocks are
constexpr int kBinsPerLane = kBins / device::kWarpSize;

// Of all lanes up to this one.
template <typename T>
__device__ T WarpScan(T value) {
  const int lane = static_cast<int>(threadIdx.x) % device::kWarpSize;
  for (int offset = 1; offset < device::kWarpSize; offset *= 2) {
    const T other = __shfl_up_sync(0xffffffffu, value, static_cast<unsigned>(offset));
    if (lane >= offset) value += other;
  }
  return value;
}

// A warp: bins, and what they add up to, lane by lane.
template <typename T>
struct WarpBins {
  const T* bins;
  T own = 0;      // the sum of this lane's bins
  T through = 0;  // that of all lanes up to this one

  __device__ explicit WarpBins(const T* all) : bins(all) {
    const int lane = static_cast<int>(threadIdx.x) % device::kWarpSize;
    for (int i = 0; i < kBinsPerLane; ++i) own += bins[lane * kBinsPerLane + i];
    through = WarpScan(own);
  }

  __device__ T total() const { return __shfl_sync(0xffffffffu, through, device::kWarpSize - 1); }

  // The first bin with which the sum reaches target. REQUIRES: 1 <= target <= total().
  __device__ int Reaching(T target) const {
    const int lane = static_cast<int>(threadIdx.x) % device::kWarpSize;
    const bool here = through >= target && through - own < target;
    int bin = 0;
    if (here) {
      bin = lane * kBinsPerLane;
      for (T sum = through - own + bins[bin]; sum < target; sum += bins[bin]) ++bin;
    }
    const unsigned owner = __ballot_sync(0xffffffffu, here);
    return __shfl_sync(0xffffffffu, bin, __ffs(static_cast<int>(owner)) - 1);
  }

  // The sum of the bins up to this one; of none for -1.
  __device__ T Through(int bin) const {
    if (bin < 0) return 0;
    const int owner = bin / kBinsPerLane;
    T sum = through - own;
    for (int i = owner * kBinsPerLane; i <= bin; ++i) sum += bins[i];
    return __shfl_sync(0xffffffffu, sum, owner);
  }
};

// Whatever select will keep or list lies in the bins up to last_bin.
struct Reach {
  BinTotals totals;
  int last_bin;
};

// A warp.
__device__ Reach ReachOf(const Task& task, const Weight* weights, const uint32_t* counts) {
  const WarpBins<Weight> weight_bins(weights);
  const WarpBins<uint32_t> count_bins(counts);
  Reach reach = {{weight_bins.total(), 0, count_bins.total(), Listed::kNothing}, -1};
  const uint32_t count = reach.totals.count;
  if (count == 0) return reach;
  if (task.top_k > 0 && static_cast<uint32_t>(task.top_k) < count) {
    reach.last_bin = count_bins.Reaching(static_cast<uint32_t>(task.top_k));
  } else if (task.top_p < 1.0f) {
    reach.last_bin = weight_bins.Reaching(CeilOfPart(reach.totals.weight, task.top_p));
  } else if (task.num_listed > 0) {
    reach.last_bin = count_bins.Reaching(min(static_cast<uint32_t>(task.num_listed), count));
  }
  if (reach.last_bin < 0) return reach;
  const uint32_t through = count_bins.Through(reach.last_bin);
  if (through <= kMaxListed) reach.totals.listed = Listed::kAll;
  // Nothing but an id is wanted, and they would take long to sort.
  if (task.top_k == 0 && task.num_listed == 0 && through > kShortList &&
      through - count_bins.Through(reach.last_bin - 1) <= kMaxListed) {
    reach.totals.listed = Listed::kBoundary;
    reach.totals.before = weight_bins.Through(reach.last_bin - 1);
  }
  return reach;
}

// A warp.
__device__ void GatherSegment(const Passes& p, const RowView& view, int l, int64_t at,
                              const Reach& reach, int segment) {
  const bool boundary = reach.totals.listed == Listed::kBoundary;
  const int vocab = p.logits.vocab();
  Weight before = 0;
  ForFours(p, l, segment, [&](int first, float4 x) {
    const float4 values = view.Values(first, x, vocab);
    const float most = fmaxf(fmaxf(values.x, values.y), fmaxf(values.z, values.w));
    if (BinOf(most, view.task.max) > reach.last_bin) return;  // most, and needs no exp
    const Seen seen[4] = {view.SeeValue(first, values.x), view.SeeValue(first + 1, values.y),
                          view.SeeValue(first + 2, values.z), view.SeeValue(first + 3, values.w)};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int bin = BinOf(seen[i].value, view.task.max);
      const bool is_before = boundary && seen[i].alive && bin < reach.last_bin;
      before += is_before ? seen[i].weight : 0;
      if (seen[i].alive && bin <= reach.last_bin && !is_before) {
        PushListed(p, at, seen[i].value, first + i);
      }
    }
  });
  if (!boundary) return;
  before = WarpScan(before);
  if (threadIdx.x % device::kWarpSize == device::kWarpSize - 1) {
    p.workspace.segment_sums[at * p.num_segments + segment] = before;
  }
}

// A warp: one segment after the other of row blockIdx.y in domain blockIdx.z. The order of the list
// varies; nothing depends on it.
__global__ void __launch_bounds__(kThreads, kBlocksPerSm) GatherKernel(Passes p) {
  __shared__ RowScan scratch[kWarps];
  __shared__ Reach shared_reach;
  device::BeginChained();
  const int l = static_cast<int>(blockIdx.y);
  const auto domain = static_cast<Domain>(p.first_domain + static_cast<int>(blockIdx.z));
  if (l >= NumValid(p)) return;
  const Task task = TaskOf(p, domain, l, ScanOf(p, l, scratch));
  if (!task.by_bins) return;
  const int64_t at = int64_t{domain} * p.num_logits + l;
  const int tid = static_cast<int>(threadIdx.x);
  if (tid < device::kWarpSize) {
    const Reach reach =
        ReachOf(task, p.workspace.bin_weights + at * kBins, p.workspace.bin_counts + at * kBins);
    if (tid == 0) shared_reach = reach;
    if (tid == 0 && blockIdx.x == 0) p.workspace.totals[at] = reach.totals;
  }
  __syncthreads();
  const Reach reach = shared_reach;
  if (reach.totals.listed == Listed::kNothing) return;
  const RowView view = RowViewOf(p, domain, l, task);
  const int warp = static_cast<int>(blockIdx.x) * kWarps + tid / device::kWarpSize;
  for (int segment = warp; segment < p.num_segments;
       segment += static_cast<int>(gridDim.x) * kWarps) {
    GatherSegment(p, view, l, at, reach, segment);
  }
}

}  // namespace

LaunchResult RunGather(const Passes& passes, cudaStream_t stream) {
  const dim3 grid = SegmentGrid(passes, kWarps, kBlocksPerSm);
  return AfterLaunch(device::LaunchChained(GatherKernel, grid, kThreads, 0, stream, passes),
                     "list of likely ids");
}

}  // namespace sluice::kernels::sampling
