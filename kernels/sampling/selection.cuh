// SPDX-License-Identifier: Apache-2.0
// What a row of logits keeps through top_k and top_p, and what is drawn from that or listed of it:
// the last pass over a row, by one block. What the passes before have left decides how much has to
// be looked at: a list of up to kShortList ids is sorted, a longer one is searched by descending
// through keys, and where no list holds all that may be kept, the row's logits are.
#pragma once

#include <cstdint>

#include "kernels/host/philox.h"
#include "kernels/sampling/descend.cuh"
#include "kernels/sampling/list_largest.cuh"
#include "kernels/sampling/passes.h"
#include "kernels/sampling/row_logits.cuh"
#include "kernels/sampling/row_scan.cuh"
#include "kernels/sampling/row_task.cuh"
#include "kernels/sampling/row_view.cuh"
#include "kernels/sampling/short_list.cuh"
#include "kernels/sampling/value_order.cuh"
#include "kernels/sampling/weight.cuh"

namespace sluice::kernels::sampling {

constexpr uint32_t kUnbounded = 0xffffffffu;
constexpr int kIdBits = 24;
static_assert(kMaxVocab <= 1 << kIdBits && kMaxSegments <= kDescendThreads);

// A block's, in shared memory.
struct SelectionScratch {
  DescendScratch descend;
  RowScan scan[kDescendThreads / device::kWarpSize];
  Weight top[kMaxTopLogprobs];  // ListEntry
  int num_top;
  LargestScratch largest;
  Weight list[kMaxListed];
};

// Keeps the ids before some place in the order of the list: larger values first, ties by lower id.
struct Bound {
  uint32_t key = kUnbounded;
  uint32_t id = kUnbounded;  // of those with that key
  Weight through = 0;        // what the measures of all that are kept add up to

  __device__ bool Holds(uint32_t k, uint32_t i) const { return k < key || (k == key && i <= id); }
};

// One row of logits in one domain; a block works on it.
class Selection {
 public:
  __device__ Selection(const Passes& p, Domain domain, int l, const Task& task,
                       SelectionScratch& scratch)
      : p_(p),
        l_(l),
        at_(int64_t{domain} * p.num_logits + l),
        view_(RowViewOf(p, domain, l, task)),
        task_(view_.task),
        scratch_(scratch),
        num_listed_(task.summed() ? LoadList(p, at_, task, scratch.list)
                                  : ListLargest(p, domain, l, view_, scratch.list, scratch.largest,
                                                scratch.descend)),
        totals_(TotalsOf(p, at_, task, num_listed_)),
        short_(scratch.list, num_listed_ <= kShortList ? num_listed_ : 0, task.max,
               scratch.descend),
        sorted_(short_.num_kept() > 0) {}

  // Steps 8 to 10 of kernels/cpu/sampling/sampling.h. Every thread gets the id.
  __device__ int Draw();

  // Of what was drawn from, or of everything. Every thread gets it.
  __device__ Normalizer Normalize();

  // Fills in the most likely of what was drawn from, or of everything.
  __device__ void ListTop(const Normalizer& normalizer, Logprobs* out);

  // Of one id. REQUIRES: it is among those that were drawn from.
  __device__ float LogprobOf(int id, const Normalizer& normalizer) const {
    return Logprob(See(id, *p_.logits.At(l_, id)).value, normalizer);
  }

 private:
  __device__ static int Tid() { return static_cast<int>(threadIdx.x); }

  __device__ static float Logprob(float value, const Normalizer& normalizer) {
    return static_cast<float>(static_cast<double>(value) - static_cast<double>(normalizer.max) -
                              normalizer.log_total);
  }

  __device__ static BinTotals TotalsOf(const Passes& p, int64_t at, const Task& task,
                                       int num_listed) {
    if (task.by_bins) return p.workspace.totals[at];
    if (!task.by_maxima) return {0, 0, 0, Listed::kNothing};
    // There may be more ids than these, but whether more than are wanted shows already.
    return {0, 0, static_cast<uint32_t>(num_listed),
            num_listed <= kMaxListed ? Listed::kAll : Listed::kNothing};
  }

  // What other passes have listed. Returns the number of ids; those beyond kMaxListed are missing.
  __device__ static int LoadList(const Passes& p, int64_t at, const Task& task, Weight* to) {
    if (!task.by_maxima && !task.by_bins) return 0;
    const auto count = static_cast<int>(p.workspace.list_counts[at]);
    for (int i = Tid(); i < min(count, kMaxListed); i += kDescendThreads) {
      to[i] = p.workspace.list[at * kMaxListed + i];
    }
    __syncthreads();
    return count;
  }

  // Calls f(key, id, weight) for this thread's share of the ids that can be kept: those listed, or
  // when they are too many all of the row.
  template <typename F>
  __device__ void ForCandidates(F f) const {
    if (totals_.listed != Listed::kNothing) {
      for (int i = Tid(); i < num_listed_; i += kDescendThreads) {
        const Weight entry = scratch_.list[i];
        const auto key = static_cast<uint32_t>(entry >> 32);
        f(key, static_cast<uint32_t>(entry), WeightOfKey(key));
      }
      return;
    }
    for (int first = 4 * Tid(); first < p_.logits.vocab(); first += 4 * kDescendThreads) {
      ForFourSeen(first, [&](int id, const Seen& seen) {
        if (seen.alive) f(KeyOf(seen.value), static_cast<uint32_t>(id), seen.weight);
      });
    }
  }

  // Calls f(id, seen) for the ids first .. first + 3 that the vocabulary has. What it calls is not
  // inlined four times into every descent, or the kernel would be larger than instruction caches.
  template <typename F>
  __device__ void ForFourSeen(int first, F f) const {
    float4 x = LoadFour(p_, l_, first);
    const int end = min(first + 4, p_.logits.vocab());
#pragma unroll 1
    for (int id = first; id < end; ++id) {
      f(id, See(id, x.x));
      x = {x.y, x.z, x.w, 0.0f};
    }
  }
  [[gnu::noinline]] __device__ Seen See(int id, float logit) const { return view_.See(id, logit); }

  // Only those that are kept.
  template <typename F>
  __device__ void ForKept(F f) const {
    const Bound kept = kept_;
    ForCandidates([&](uint32_t key, uint32_t id, Weight weight) {
      if (kept.Holds(key, id)) f(key, id, weight);
    });
  }

  __device__ Weight WeightOfKey(uint32_t key) const {
    return WeightOf(Exp(ValueOf(key) - task_.max));
  }

  __device__ Weight SumOfSegments() {
    const Weight* sums = p_.workspace.segment_sums + at_ * p_.num_segments;
    return BlockSum(Tid() < p_.num_segments ? sums[Tid()] : 0, scratch_.descend);
  }

  // Narrows what is kept of candidates to the first so many, or to the first whose weights reach so
  // much.
  // REQUIRES: fewer than are kept, or nothing before told equals apart.
  template <bool kWeights>
  __device__ void KeepThrough(Weight target);
  __device__ void ApplyTopK();
  __device__ void ApplyTopP();
  __device__ int DrawFromCandidates(Weight bits);
  __device__ int DrawFromSegments(Weight bits);

  const Passes& p_;
  const int l_;
  const int64_t at_;
  const RowView view_;
  const Task& task_;
  SelectionScratch& scratch_;
  const int num_listed_;
  const BinTotals totals_;
  ShortList short_;  // the list, when it is so short that it is sorted
  const bool sorted_;
  // Of the candidates. Until top_k or top_p has narrowed it, everything that is alive is kept, and
  // the sums of segments say how much that is.
  Bound kept_;
  bool narrowed_ = false;
};

__device__ inline int Selection::Draw() {
  const int row = p_.rows[l_];
  const RowParams& params = p_.state.params[row];
  const auto position = static_cast<uint64_t>(p_.state.num_outputs[row] + p_.indices[l_]);
  // In [0, 2^64): the draw's 53 bits as a fraction of 64.
  const Weight bits = SampleBits(params.seed, params.choice, position) << 11;
  if (task_.top_k > 0) ApplyTopK();
  if (task_.top_p < 1.0f) ApplyTopP();
  if (!narrowed_ || totals_.listed == Listed::kBoundary) return DrawFromSegments(bits);
  if (sorted_) return short_.Draw(__umul64hi(kept_.through, bits) + 1);
  return DrawFromCandidates(bits);
}

__device__ inline void Selection::ApplyTopK() {
  const bool cut = static_cast<uint32_t>(task_.top_k) < totals_.count;
  if (!cut && task_.by_bins) return;  // all stay, and they need not be in the list
  narrowed_ = true;
  if (sorted_) {
    short_.KeepLargest(task_.top_k);
    kept_.through = short_.Sum();
    return;
  }
  if (cut) {
    const Reached last = Descend(
        [&](auto visit) { ForCandidates([&](uint32_t key, uint32_t, Weight) { visit(key, 1); }); },
        static_cast<Weight>(task_.top_k), 32, scratch_.descend);
    kept_.key = last.key;  // equals stay
  }
  Weight sum = 0;
  ForKept([&](uint32_t, uint32_t, Weight weight) { sum += weight; });
  kept_.through = BlockSum(sum, scratch_.descend);
}

__device__ inline void Selection::ApplyTopP() {
  const Weight before = totals_.listed == Listed::kBoundary ? totals_.before : 0;
  const Weight target =
      CeilOfPart(narrowed_ ? kept_.through : totals_.weight, task_.top_p) - before;
  if (sorted_) {
    short_.KeepReaching(target);
    const Weight last = short_.last();
    kept_ = {static_cast<uint32_t>(last >> 32), static_cast<uint32_t>(last), short_.Sum()};
    narrowed_ = true;
  } else {
    KeepThrough<true>(target);
  }
  kept_.through += before;
}

template <bool kWeights>
__device__ inline void Selection::KeepThrough(Weight target) {
  const Reached last = Descend(
      [&](auto visit) {
        ForKept([&](uint32_t key, uint32_t, Weight weight) { visit(key, kWeights ? weight : 1); });
      },
      target, 32, scratch_.descend);
  // Those of the last value are kept in the order of their ids, as many as are needed.
  const Weight each = kWeights ? WeightOfKey(last.key) : 1;
  const Weight needed = (target - last.before + each - 1) / each;
  Weight equals = 0;
  ForKept([&](uint32_t key, uint32_t, Weight) { equals += key == last.key ? 1 : 0; });
  equals = BlockSum(equals, scratch_.descend);
  Bound bound = {last.key, kUnbounded, last.before + min(needed, equals) * each};
  if (needed < equals) {
    bound.id = Descend(
                   [&](auto visit) {
                     ForKept([&](uint32_t key, uint32_t id, Weight) {
                       visit(id, key == last.key ? 1 : 0);
                     });
                   },
                   needed, kIdBits, scratch_.descend)
                   .key;
  }
  kept_ = bound;
  narrowed_ = true;
}

// The first id, in ascending order, with which the sum of weights exceeds its part of the total.
__device__ inline int Selection::DrawFromCandidates(Weight bits) {
  const Weight target = __umul64hi(kept_.through, bits) + 1;
  return static_cast<int>(
      Descend(
          [&](auto visit) {
            ForKept([&](uint32_t, uint32_t id, Weight weight) { visit(id, weight); });
          },
          target, kIdBits, scratch_.descend)
          .key);
}

// The same in two steps: the segment, and the id in it. For when everything is kept, or when the
// list has only some of what is.
__device__ inline int Selection::DrawFromSegments(Weight bits) {
  const Weight total = narrowed_ ? kept_.through : SumOfSegments();
  const Weight target = __umul64hi(total, bits) + 1;
  Weight* const sums = scratch_.descend.bins;
  sums[Tid()] =
      Tid() < p_.num_segments ? p_.workspace.segment_sums[at_ * p_.num_segments + Tid()] : 0;
  __syncthreads();
  if (totals_.listed == Listed::kBoundary) {
    ForKept([&](uint32_t, uint32_t id, Weight weight) { atomicAdd(&sums[id / kSegment], weight); });
  }
  __syncthreads();
  const Reached segment = ReachingThread(sums[Tid()], target, scratch_.descend);
  static_assert(kSegment == 4 * kDescendThreads);
  const int first = static_cast<int>(segment.key) * kSegment + 4 * Tid();
  const int vocab = p_.logits.vocab();
  const float4 four = view_.Values(first, LoadFour(p_, l_, first), vocab);
  const float values[4] = {four.x, four.y, four.z, four.w};
  Weight weights[4];
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const Seen seen = view_.SeeValue(first + i, values[i]);
    const bool kept = seen.alive && kept_.Holds(KeyOf(values[i]), static_cast<uint32_t>(first + i));
    weights[i] = kept ? seen.weight : 0;
  }
  const Weight own = weights[0] + weights[1] + weights[2] + weights[3];
  const Weight rest = target - segment.before;
  const Reached thread = ReachingThread(own, rest, scratch_.descend);
  if (threadIdx.x == thread.key) {
    Weight through = thread.before;
    int id = first - 1;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if (through < rest) ++id;
      through += weights[i];
    }
    scratch_.descend.digit = static_cast<uint32_t>(id);
  }
  __syncthreads();
  const auto id = static_cast<int>(scratch_.descend.digit);
  __syncthreads();
  return id;
}

__device__ inline Normalizer Selection::Normalize() {
  const Weight total = narrowed_ ? kept_.through : SumOfSegments();
  const double scale = 1.0 / static_cast<double>(Weight{1} << kWeightBits);
  return {log(static_cast<double>(total) * scale), task_.max};
}

__device__ inline void Selection::ListTop(const Normalizer& normalizer, Logprobs* out) {
  if (sorted_ && totals_.listed == Listed::kAll) {
    const int count = min(short_.num_kept(), task_.num_listed);
    if (Tid() == 0) out->num_top = count;
    if (Tid() >= count) return;
    out->top_ids[Tid()] = short_.own_id();
    out->top_logprobs[Tid()] = Logprob(short_.own_value(), normalizer);
    return;
  }
  Weight count = 0;
  if (task_.num_listed > 0) {
    if (narrowed_) {
      ForKept([&](uint32_t, uint32_t, Weight) { ++count; });
      count = BlockSum(count, scratch_.descend);
    } else {
      count = totals_.count;
    }
    if (count > static_cast<Weight>(task_.num_listed)) {
      count = static_cast<Weight>(task_.num_listed);
      KeepThrough<false>(count);
    }
  }
  if (Tid() == 0) scratch_.num_top = 0;
  __syncthreads();
  if (count > 0) {
    ForKept([&](uint32_t key, uint32_t id, Weight) {
      scratch_.top[atomicAdd(&scratch_.num_top, 1)] = ListEntry(key, static_cast<int>(id));
    });
  }
  __syncthreads();
  const int num_top = scratch_.num_top;
  if (Tid() == 0) out->num_top = num_top;
  if (Tid() >= num_top) return;
  const Weight own = scratch_.top[Tid()];
  int rank = 0;
  for (int i = 0; i < num_top; ++i) rank += scratch_.top[i] < own ? 1 : 0;
  out->top_ids[rank] = static_cast<int32_t>(static_cast<uint32_t>(own));
  out->top_logprobs[rank] = Logprob(ValueOf(static_cast<uint32_t>(own >> 32)), normalizer);
}

}  // namespace sluice::kernels::sampling
