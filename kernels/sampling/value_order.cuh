// SPDX-License-Identifier: Apache-2.0
// Values of ids in order: bins of them, and lists of (value, id).
#pragma once

#include "kernels/host/float_math.h"
#include "kernels/sampling/passes.h"

namespace sluice::kernels::sampling {

// The bin of a value. REQUIRES: value <= max.
__device__ inline int BinOf(float value, float max) {
  return static_cast<int>(fminf((max - value) * kBinsPerUnit, static_cast<float>(kBins - 1)));
}

// Values as integers that ascend as values descend; equal values are equal.
__device__ inline uint32_t KeyOf(float value) {
  const uint32_t bits = BitsOf(value + 0.0f);  // -0 and 0 are one
  return (bits & 0x80000000u) != 0 ? bits : ~(bits | 0x80000000u);
}

__device__ inline float ValueOf(uint32_t key) {
  return FloatOf((key & 0x80000000u) != 0 ? key : ~(key | 0x80000000u));
}

// Lists hold key and id; as integers they ascend from the most likely on, ties by lower id.
__device__ inline Weight ListEntry(uint32_t key, int id) {
  return Weight{key} << 32 | static_cast<uint32_t>(id);
}

// Adds an id to the list of a row in a domain. Of a list that is too long only the count is of use.
__device__ inline void PushListed(const Passes& p, int64_t at, float value, int id) {
  const uint32_t place = atomicAdd(&p.workspace.list_counts[at], 1u);
  if (place < kMaxListed) p.workspace.list[at * kMaxListed + place] = ListEntry(KeyOf(value), id);
}

}  // namespace sluice::kernels::sampling
