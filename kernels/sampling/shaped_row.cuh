// SPDX-License-Identifier: Apache-2.0
// A row's logits after masks, bias and penalties: steps 2 to 4 of kernels/cpu/sampling/sampling.h,
// each operation rounded as there.
#pragma once

#include "kernels/sampling/row_logits.cuh"

namespace sluice::kernels::sampling {

// Turns logits into what the masks, bias and penalties make of them.
struct ShapedRow {
  int num_ids = 0;                  // ids from here on are padding
  const uint32_t* marks = nullptr;  // null: not read
  const float* bias = nullptr;      // null: not read
  uint32_t masks = 0;               // marks that mask
  bool history = false;
  float repetition_penalty = 1.0f, presence_penalty = 0.0f, frequency_penalty = 0.0f;
  const int32_t* drafts = nullptr;  // of this run, taken for outputs
  int num_drafts = 0;

  // Logits of ids below num_ids stay as they are.
  __device__ bool plain() const { return marks == nullptr && bias == nullptr; }
  // Those of the ids first .. first + 3 do, which have these marks. REQUIRES: first is a multiple
  // of 4.
  __device__ bool KeepsFour(int first, uint4 m) const {
    if (first + 4 > num_ids || bias != nullptr || (history && num_drafts > 0)) return false;
    return ((m.x | m.y | m.z | m.w) & changing()) == 0;
  }
  __device__ bool KeepsFour(int first) const { return KeepsFour(first, MarksOfFour(first)); }
  // Of ids that are all there; otherwise nothing.
  __device__ uint4 MarksOfFour(int first) const {
    if (marks == nullptr || first + 4 > num_ids) return {0, 0, 0, 0};
    return *reinterpret_cast<const uint4*>(marks + first);
  }
  // Marks of ids whose logits may be changed.
  __device__ uint32_t changing() const { return masks | (history ? kMarkCount | kMarkPrompt : 0u); }

  __device__ float operator()(int id, float x) const {
    if (id >= num_ids) return MinusInfinity();
    const uint32_t mark = marks != nullptr ? marks[id] : 0;
    if ((mark & masks) != 0) return MinusInfinity();
    if (bias != nullptr) x += bias[id];
    if (!history) return x;
    uint32_t count = mark & kMarkCount;
    for (int i = 0; i < num_drafts; ++i) count += drafts[i] == id ? 1 : 0;
    if (count == 0 && (mark & kMarkPrompt) == 0) return x;
    x = x > 0.0f ? x / repetition_penalty : Product(x, repetition_penalty);
    if (count > 0) {
      x -= Product(frequency_penalty, static_cast<float>(count));
      x -= presence_penalty;
    }
    return x;
  }
};

// REQUIRES: p samples.
__device__ inline ShapedRow ShapedRowOf(const Passes& p, int l) {
  const int row = p.rows[l];
  const RowParams& params = p.state.params[row];
  const int64_t plane = row * PlaneStride(p.logits.vocab());
  const int index = p.indices[l];
  ShapedRow shaped;
  shaped.num_ids = p.num_token_ids;
  if (params.uses_marks != 0) shaped.marks = p.state.marks + plane;
  if (params.uses_bias != 0) shaped.bias = p.state.bias + plane;
  shaped.masks = kMarkBanned;
  if (params.has_allowed != 0) shaped.masks |= kMarkNotAllowed;
  if (p.state.num_outputs[row] + index < params.min_tokens) shaped.masks |= kMarkStop;
  shaped.history = params.uses_history != 0;
  shaped.repetition_penalty = params.repetition_penalty;
  shaped.presence_penalty = params.presence_penalty;
  shaped.frequency_penalty = params.frequency_penalty;
  shaped.drafts = p.drafts + (l - index);
  shaped.num_drafts = index;
  return shaped;
}

}  // namespace sluice::kernels::sampling
