// SPDX-License-Identifier: Apache-2.0
// Lists the ids that top_k can keep: few segments have any, and of those most ids are passed over.
// Used by selection.cuh.
#pragma once

#include "kernels/sampling/descend.cuh"
#include "kernels/sampling/row_logits.cuh"
#include "kernels/sampling/row_view.cuh"
#include "kernels/sampling/segment_bound.cuh"
#include "kernels/sampling/shaped_row.cuh"
#include "kernels/sampling/value_order.cuh"

namespace sluice::kernels::sampling {

struct LargestScratch {
  float maxima[kMaxSegments];
  float reached;
  int segments[kMaxSegments];  // those that have some of the largest
  int num_listed;
};

// Of the ids first .. first + 3, lists those from the bound on.
[[gnu::noinline]] __device__ inline void ListFour(const Passes& p, const RowView& view, int first,
                                                  float4 x, float bound, Weight* list,
                                                  LargestScratch& scratch) {
  const float4 four = view.Values(first, x, p.logits.vocab());
  const float values[4] = {four.x, four.y, four.z, four.w};
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    if (values[i] < bound || !view.SeeValue(first + i, values[i]).alive) continue;
    const int place = atomicAdd(&scratch.num_listed, 1);
    if (place < kMaxListed) list[place] = ListEntry(KeyOf(values[i]), first + i);
  }
}

// Lists the ids that can be among the so many largest, from the few segments that have some.
// Returns how many they are; the list has at most kMaxListed of them. A block of kDescendThreads
// works on it. REQUIRES: task.by_maxima; the values are drawn from.
__device__ inline int ListLargest(const Passes& p, Domain domain, int l, const RowView& view,
                                  Weight* list, LargestScratch& scratch, DescendScratch& scan) {
  const int tid = static_cast<int>(threadIdx.x);
  const float bound = LeastOfLargest(p, domain, l, view.task, scratch.maxima, &scratch.reached);
  const bool has =
      tid < p.num_segments && scratch.maxima[tid] >= bound && scratch.maxima[tid] > MinusInfinity();
  const auto through = static_cast<int>(BlockScan(has ? Weight{1} : Weight{0}, scan.warp_sums));
  if (has) scratch.segments[through - 1] = tid;
  if (tid == kDescendThreads - 1) scan.digit = static_cast<uint32_t>(through);
  if (tid == 0) scratch.num_listed = 0;
  __syncthreads();
  const auto num_segments = static_cast<int>(scan.digit);
  // Most logits are far below the bound, and are not marked. (A quotient that equals the bound
  // can be one of a logit that is a little less.)
  const float bound_logit = bound * view.task.temperature;
  const float least = bound_logit - fabsf(bound_logit) * 1e-6f - 1e-30f;
  const ShapedRow& shaped = view.shaped;
  const uint32_t changing = shaped.changing();
  const bool all_change = shaped.bias != nullptr || (shaped.history && shaped.num_drafts > 0);
  constexpr int kAtOnce = 4;  // segments, of which a thread has four ids
#pragma unroll 1
  for (int i = 0; i < num_segments; i += kAtOnce) {
    float4 x[kAtOnce];
    uint4 marks[kAtOnce];
#pragma unroll
    for (int j = 0; j < kAtOnce; ++j) {
      marks[j] = {0, 0, 0, 0};
      x[j] = {0.0f, 0.0f, 0.0f, 0.0f};
      if (i + j >= num_segments) continue;
      const int first = scratch.segments[i + j] * kSegment + 4 * tid;
      x[j] = LoadFour(p, l, first);
      if (shaped.marks != nullptr && first < p.logits.vocab()) {
        marks[j] = *reinterpret_cast<const uint4*>(shaped.marks + first);
      }
    }
#pragma unroll
    for (int j = 0; j < kAtOnce; ++j) {
      if (i + j >= num_segments) continue;
      const uint4 m = marks[j];
      if ((m.x & m.y & m.z & m.w & shaped.masks) != 0) continue;  // all are masked
      const float most = fmaxf(fmaxf(x[j].x, x[j].y), fmaxf(x[j].z, x[j].w));
      const bool changed = all_change || ((m.x | m.y | m.z | m.w) & changing) != 0;
      if (most < least && !changed) continue;
      ListFour(p, view, scratch.segments[i + j] * kSegment + 4 * tid, x[j], bound, list, scratch);
    }
  }
  __syncthreads();
  return scratch.num_listed;
}

}  // namespace sluice::kernels::sampling
