// SPDX-License-Identifier: Apache-2.0
// The values that ids of one row of logits have in a domain, and what is done with them. Steps 2 to
// 7 of kernels/cpu/sampling/sampling.h, each operation rounded as there.
#pragma once

#include "kernels/device/reduce.cuh"
#include "kernels/host/float_math.h"
#include "kernels/sampling/passes.h"

namespace sluice::kernels::sampling {

__device__ inline float MinusInfinity() { return FloatOf(0xff800000u); }
__device__ inline bool IsFinite(float x) { return fabsf(x) <= 3.402823466e+38f; }

__device__ inline int NumValid(const Passes& p) {
  return p.num_valid == nullptr ? p.num_logits : min(*p.num_valid, p.num_logits);
}

// The logits of the ids first .. first + 3 of a row that the vocabulary has. REQUIRES: first is a
// multiple of 4.
__device__ inline float4 LoadFour(const Passes& p, int l, int first) {
  const int vocab = p.logits.vocab();
  float4 x = {0.0f, 0.0f, 0.0f, 0.0f};
  if (first >= vocab) return x;
  if (p.aligned) return *reinterpret_cast<const float4*>(p.logits.At(l, first));
  x.x = *p.logits.At(l, first);
  if (first + 1 < vocab) x.y = *p.logits.At(l, first + 1);
  if (first + 2 < vocab) x.z = *p.logits.At(l, first + 2);
  if (first + 3 < vocab) x.w = *p.logits.At(l, first + 3);
  return x;
}

// Calls f(first, logits) for this lane's ids of a segment, four neighbours at a time. Half of its
// logits are on their way at once, whatever f writes in between; f is inlined once, since
// instructions have to be read, too.
template <typename F>
__device__ inline void ForFours(const Passes& p, int l, int segment, F f) {
  constexpr int kStride = 4 * device::kWarpSize;
  constexpr int kTurns = kSegment / kStride, kAhead = kTurns / 2;
  const int vocab = p.logits.vocab();
  int first = segment * kSegment + 4 * (static_cast<int>(threadIdx.x) % device::kWarpSize);
  float4 ahead[kAhead];
#pragma unroll
  for (int i = 0; i < kAhead; ++i) ahead[i] = LoadFour(p, l, first + i * kStride);
#pragma unroll 1
  for (int turn = 0; turn < kTurns && first < vocab; ++turn, first += kStride) {
    const float4 x = ahead[0];
#pragma unroll
    for (int i = 1; i < kAhead; ++i) ahead[i - 1] = ahead[i];
    if (turn + kAhead < kTurns) ahead[kAhead - 1] = LoadFour(p, l, first + kAhead * kStride);
    f(first, x);
  }
}

// Quotients by one number, rounded as x / by is, in five instructions (Markstein, "Computation of
// elementary functions on the IBM RISC System/6000", 1990): with the reciprocal rounded to nearest,
// one correction leaves less than one unit of the last place, and the second rounds correctly.
class Divisor {
 public:
  __device__ explicit Divisor(float by) : by_(by), reciprocal_(1.0f / by) {
    // Nothing under- or overflows in between then.
    if (by >= 1e-6f && by <= 1e6f) least_ = 1e-25f;
  }

  __device__ float operator()(float x) const { return IsInRange(x) ? InRange(x) : x / by_; }

  __device__ bool IsInRange(float x) const { return fabsf(x) >= least_ && fabsf(x) <= 1e30f; }
  // REQUIRES: IsInRange(x).
  __device__ float InRange(float x) const {
    float quotient = Product(x, reciprocal_);
    quotient = fmaf(fmaf(-quotient, by_, x), reciprocal_, quotient);
    return fmaf(fmaf(-quotient, by_, x), reciprocal_, quotient);
  }

 private:
  float by_, reciprocal_;
  float least_ = 3.402823466e+38f;
};

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

// Of a whole row of logits.
struct RowScan {
  float max;
  int argmax;  // -1: nothing is left
  float raw_max;
  bool bad;
};

// Orders (value, id) pairs: larger values first, of equals the lower id.
__device__ inline void KeepLarger(float value, int id, float* max, int* argmax) {
  if (value > *max || (value == *max && id < *argmax)) {
    *max = value;
    *argmax = id;
  }
}

// Every thread of the block gets the row's scan. scratch: shared, one a warp; free again after the
// next barrier.
__device__ inline RowScan ScanOf(const Passes& p, int l, RowScan* scratch) {
  const SegmentScan* segments = p.workspace.scans + int64_t{l} * p.num_segments;
  constexpr int kNone = 0x7fffffff;
  RowScan scan = {MinusInfinity(), kNone, MinusInfinity(), false};
  for (int i = static_cast<int>(threadIdx.x); i < p.num_segments;
       i += static_cast<int>(blockDim.x)) {
    const SegmentScan s = segments[i];
    KeepLarger(s.max, s.argmax, &scan.max, &scan.argmax);
    scan.raw_max = fmaxf(scan.raw_max, s.raw_max);
    scan.bad = scan.bad || s.bad != 0;
  }
  for (int offset = device::kWarpSize / 2; offset > 0; offset /= 2) {
    const float max = __shfl_xor_sync(0xffffffffu, scan.max, offset);
    const int argmax = __shfl_xor_sync(0xffffffffu, scan.argmax, offset);
    KeepLarger(max, argmax, &scan.max, &scan.argmax);
    scan.raw_max = fmaxf(scan.raw_max, __shfl_xor_sync(0xffffffffu, scan.raw_max, offset));
  }
  scan.bad = __ballot_sync(0xffffffffu, scan.bad) != 0;
  if (threadIdx.x % device::kWarpSize == 0) scratch[threadIdx.x / device::kWarpSize] = scan;
  __syncthreads();
  for (unsigned warp = 0; warp < blockDim.x / device::kWarpSize; ++warp) {
    const RowScan other = scratch[warp];
    KeepLarger(other.max, other.argmax, &scan.max, &scan.argmax);
    scan.raw_max = fmaxf(scan.raw_max, other.raw_max);
    scan.bad = scan.bad || other.bad;
  }
  if (scan.max == MinusInfinity()) scan.argmax = -1;
  return scan;
}

// What a row of logits needs in a domain, after the scan.
struct Task {
  bool random = false;      // an id is drawn; otherwise the largest value wins
  bool normalized = false;  // log probabilities are wanted
  int num_listed = 0;       // of so many of the most likely ids, too
  float temperature = 1.0f;
  float min_p = 0.0f;
  int top_k = 0;
  float top_p = 1.0f;
  float max = 0.0f;  // the largest value, after temperature

  // How the ids that can be kept or listed are found, so that few have to be looked at. A number of
  // largest values: so many segments have a maximum that is at least the least of so many maxima,
  // so the ids from that value on are enough; weigh lists them. Otherwise by bins, in gather.
  bool by_maxima = false;
  bool by_bins = false;

  __device__ bool needed() const { return random || normalized; }
  // So many of the largest values are enough. REQUIRES: by_maxima.
  __device__ int num_largest() const { return top_k > 0 ? top_k : num_listed; }
  // The weights of all ids are summed up, segment by segment.
  __device__ bool summed() const { return !(by_maxima && top_k > 0); }
};

// REQUIRES: the scan is neither bad nor empty.
__device__ inline Task DrawnTask(const Passes& p, int l, const RowScan& scan) {
  const RowParams& params = p.state.params[p.rows[l]];
  Task task;
  task.max = scan.max;
  const float scaled_max = scan.max / params.temperature;
  if (params.temperature >= kGreedyBelow && IsFinite(scaled_max)) {
    task.random = true;
    task.temperature = params.temperature;
    task.min_p = params.min_p;
    task.top_k = params.top_k;
    task.top_p = params.top_p;
    task.max = scaled_max;
  }
  task.normalized = p.processed_logprobs && params.logprobs >= 0;
  if (task.normalized) task.num_listed = params.logprobs;
  return task;
}

__device__ inline Task RawTask(const Passes& p, int l, const RowScan& scan) {
  Task task;
  task.max = scan.raw_max;
  if (p.rows == nullptr) {
    task.normalized = true;
    task.num_listed = min(max(p.top_k[l], 0), kMaxTopLogprobs);
  } else if (!p.processed_logprobs) {
    const int wanted = p.state.params[p.rows[l]].logprobs;
    task.normalized = wanted >= 0;
    task.num_listed = max(wanted, 0);
  }
  return task;
}

// What a row of logits needs in a domain; nothing when its scan says so.
__device__ inline Task TaskOf(const Passes& p, Domain domain, int l, const RowScan& scan) {
  if (scan.bad || (domain == kDrawn && scan.argmax < 0)) return {};
  Task task = domain == kRaw ? RawTask(p, l, scan) : DrawnTask(p, l, scan);
  const int num_largest = task.num_largest();
  // The maxima of raw logits may be those of padding, which is not listed: segments without it.
  const int num_maxima = domain == kRaw ? p.num_token_ids / kSegment : p.num_segments;
  const bool finds_largest = task.top_k > 0 || (task.top_p >= 1.0f && num_largest > 0);
  task.by_maxima = finds_largest && num_largest <= num_maxima;
  task.by_bins = !task.by_maxima && (finds_largest || task.top_p < 1.0f);
  return task;
}

// weight: exp(value - max), at most 1. As a Weight: floor(weight * 2^kWeightBits).
__device__ inline Weight WeightOf(float weight) {
  return static_cast<Weight>(weight * 17592186044416.0f);
}

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

// ceil(total * fraction), at least 1; fraction in (0, 1]. Exact: a float has 24 bits, and what lies
// below 2^-64 of the total makes no difference to the least id that is kept.
__device__ inline Weight CeilOfPart(Weight total, float fraction) {
  if (fraction >= 1.0f) return total;
  const auto scaled = static_cast<Weight>(static_cast<double>(fraction) * 18446744073709551616.0);
  const Weight high = __umul64hi(total, scaled);
  return total * scaled != 0 || high == 0 ? high + 1 : high;
}

}  // namespace sluice::kernels::sampling
