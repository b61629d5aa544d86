// SPDX-License-Identifier: Apache-2.0
// A row of logits as a domain sees it: values and weights of ids. Steps 2 to 7 of
// kernels/cpu/sampling/sampling.h, each operation rounded as there.
#pragma once

#include "kernels/sampling/divisor.cuh"
#include "kernels/sampling/row_task.cuh"
#include "kernels/sampling/shaped_row.cuh"
#include "kernels/sampling/weight.cuh"

namespace sluice::kernels::sampling {

// An id seen in its domain.
struct Seen {
  bool alive = false;  // can be drawn and listed, as far as top_k and top_p let it
  float value = 0.0f;
  Weight weight = 0;  // of raw logits also when not alive: padding counts in their sum
};

struct RowView {
  Domain domain;
  ShapedRow shaped;  // of kDrawn; otherwise one that changes nothing
  Task task;
  int num_token_ids;
  Divisor divisor;  // the temperature; 1 when nothing is drawn

  // Minus infinity: masked.
  __device__ float Value(int id, float logit) const {
    if (domain == kRaw) return logit;
    const float value = shaped(id, logit);
    return value == MinusInfinity() ? value : divisor(value);
  }

  // Those of the ids first .. first + 3, of which the vocabulary may have fewer; most take the
  // short way. REQUIRES: first is a multiple of 4.
  __device__ float4 Values(int first, float4 x, int vocab) const {
    if (divisor.IsInRange(x.x) && divisor.IsInRange(x.y) && divisor.IsInRange(x.z) &&
        divisor.IsInRange(x.w) && shaped.KeepsFour(first)) {
      return {divisor.InRange(x.x), divisor.InRange(x.y), divisor.InRange(x.z),
              divisor.InRange(x.w)};
    }
    // Inlined once. (Of a function that is called, all of this row would lie in local memory.)
    float4 values = {};
#pragma unroll 1
    for (int id = first; id < first + 4; ++id) {
      const float value = id < vocab ? Value(id, x.x) : MinusInfinity();
      values = {values.y, values.z, values.w, value};
      x = {x.y, x.z, x.w, 0.0f};
    }
    return values;
  }

  __device__ Seen See(int id, float logit) const { return SeeValue(id, Value(id, logit)); }
  // Without a branch.
  __device__ Seen SeeValue(int id, float value) const {
    const float weight = ExpAtMost88(value - task.max);  // values are at most the largest
    const bool counts = value != MinusInfinity() && weight >= task.min_p;
    return {counts && id < num_token_ids, value, counts ? WeightOf(weight) : 0};
  }
};

__device__ inline RowView RowViewOf(const Passes& p, Domain domain, int l, const Task& task) {
  ShapedRow shaped;
  shaped.num_ids = p.num_token_ids;
  if (domain == kDrawn) shaped = ShapedRowOf(p, l);
  return {domain, shaped, task, p.num_token_ids, Divisor(task.random ? task.temperature : 1.0f)};
}

}  // namespace sluice::kernels::sampling
