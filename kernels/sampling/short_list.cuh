// SPDX-License-Identifier: Apache-2.0
// A list of up to kShortList ids, sorted: each is compared with all, which takes no more barriers
// than it takes lists. Used by selection.cuh.
#pragma once

#include "kernels/sampling/descend.cuh"
#include "kernels/sampling/value_order.cuh"
#include "kernels/sampling/weight.cuh"

namespace sluice::kernels::sampling {

static_assert(kShortList == kDescendThreads);

// A block of kDescendThreads has one, and all of its threads call each function; a thread has the
// entry of its number. What is kept is the first so many.
class ShortList {
 public:
  // entries: shared, `count` ListEntrys in any order; they are sorted in place. max: what weights
  // are relative to. Scratch is free between calls.
  __device__ ShortList(Weight* entries, int count, float max, DescendScratch& scratch)
      : entries_(entries), kept_(count), scratch_(scratch) {
    const Weight entry = Own() < count ? entries[Own()] : 0;
    int rank = 0;
#pragma unroll 4
    for (int i = 0; i < count; ++i) rank += entries[i] < entry ? 1 : 0;
    __syncthreads();
    if (Own() < count) entries[rank] = entry;
    __syncthreads();
    if (Own() < count) weight_ = WeightOf(Exp(ValueOf(KeyAt(Own())) - max));
    through_ = BlockScan(weight_, scratch.warp_sums);
    __syncthreads();
  }

  __device__ int num_kept() const { return kept_; }

  // Keeps the first so many, and what equals the last of them.
  __device__ void KeepLargest(int count) {
    if (count >= kept_) return;
    const uint32_t last = KeyAt(count - 1);
    if (Own() < kept_ && KeyAt(Own()) <= last && (Own() + 1 == kept_ || KeyAt(Own() + 1) > last)) {
      scratch_.digit = threadIdx.x + 1;
    }
    TakeKept();
  }

  // Keeps the first whose weights reach a target. REQUIRES: 1 <= target <= sum().
  __device__ void KeepReaching(Weight target) {
    if (Own() < kept_ && through_ >= target && through_ - weight_ < target) {
      scratch_.digit = threadIdx.x + 1;
    }
    TakeKept();
  }

  // Of the weights kept. REQUIRES: something is.
  __device__ Weight Sum() {
    if (Own() == kept_ - 1) scratch_.before = through_;
    __syncthreads();
    const Weight sum = scratch_.before;
    __syncthreads();
    return sum;
  }

  // The last kept. REQUIRES: something is.
  __device__ Weight last() const { return entries_[kept_ - 1]; }

  // The first id, in ascending order of those kept, with which the sum of weights reaches a target.
  // REQUIRES: 1 <= target <= Sum().
  __device__ int Draw(Weight target) {
    Weight* const weights = scratch_.bins;
    weights[Own()] = weight_;
    __syncthreads();
    if (Own() < kept_) {
      const uint32_t id = IdAt(Own());
      Weight before = 0;
#pragma unroll 4
      for (int i = 0; i < kept_; ++i) before += IdAt(i) < id ? weights[i] : 0;
      if (before < target && before + weight_ >= target) scratch_.digit = id;
    }
    __syncthreads();
    const auto id = static_cast<int>(scratch_.digit);
    __syncthreads();
    return id;
  }

  // Of this thread's entry. REQUIRES: it is kept.
  __device__ float own_value() const { return ValueOf(KeyAt(Own())); }
  __device__ int own_id() const { return static_cast<int>(IdAt(Own())); }

 private:
  __device__ static int Own() { return static_cast<int>(threadIdx.x); }
  __device__ uint32_t KeyAt(int i) const { return static_cast<uint32_t>(entries_[i] >> 32); }
  __device__ uint32_t IdAt(int i) const { return static_cast<uint32_t>(entries_[i]); }

  // How many are kept, as one thread has found.
  __device__ void TakeKept() {
    __syncthreads();
    kept_ = static_cast<int>(scratch_.digit);
    __syncthreads();
  }

  Weight* const entries_;
  int kept_;
  DescendScratch& scratch_;
  // Of this thread's entry, and of all up to it.
  Weight weight_ = 0, through_ = 0;
};

}  // namespace sluice::kernels::sampling
