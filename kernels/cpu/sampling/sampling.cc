// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/sampling/sampling.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>
#include <limits>

#include "kernels/cpu/simd/kernel_table.h"
#include "kernels/host/philox.h"

namespace sluice::kernels::cpu {
namespace {

constexpr float kGreedyBelow = 1e-5f;
constexpr float kMasked = -std::numeric_limits<float>::infinity();
// Up to here a running heap finds the k-th largest logit in one pass; above, a selection on a copy.
constexpr int kHeapTopK = 256;
// Buckets of top_p: exponent and four bits of mantissa of a non-negative float.
constexpr int kBucketShift = 19;
constexpr uint32_t kNumBuckets = 1u << (31 - kBucketShift);

}  // namespace

SampleResult Sampler::Sample(std::span<const float> logits, int64_t vocab_size,
                             const SamplerParams& params, const TokenHistory* history,
                             int64_t output_position) {
  candidates_.clear();
  bool finite = true;
  simd::Active().max_finite(logits.data(), static_cast<int64_t>(logits.size()), &finite);
  if (!finite) return {.outcome = SampleOutcome::kBadLogits};

  const int64_t num_ids = std::min(vocab_size, static_cast<int64_t>(logits.size()));
  logits_.assign(logits.begin(), logits.begin() + num_ids);
  ApplyMasks(params, output_position);
  if (history != nullptr && params.UsesHistory()) ApplyPenalties(params, *history);

  const float max =
      num_ids > 0 ? simd::Active().max_finite(logits_.data(), num_ids, &finite) : kMasked;
  const auto largest = std::find(logits_.begin(), logits_.end(), max);  // the first of equals
  if (largest == logits_.end() || *largest == kMasked)
    return {.outcome = SampleOutcome::kNothingAllowed};
  if (params.temperature < kGreedyBelow) {
    return {.id = static_cast<int32_t>(largest - logits_.begin())};
  }

  const float scaled_max = max / params.temperature;
  if (!std::isfinite(scaled_max)) return {.id = static_cast<int32_t>(largest - logits_.begin())};
  CollectCandidates(params, scaled_max);
  double total = 0.0;
  for (const Candidate& candidate : candidates_) total += double{candidate.weight};
  const double target =
      total * SampleUniform(params.seed, params.choice, static_cast<uint64_t>(output_position));
  double sum = 0.0;
  int32_t id = 0;
  for (const Candidate& candidate : candidates_) {
    if (candidate.weight == 0.0f) continue;  // rounding must not pick an id of probability 0
    id = candidate.id;
    sum += double{candidate.weight};
    if (sum > target) break;
  }
  return {.id = id};
}

void Sampler::ApplyMasks(const SamplerParams& params, int64_t output_position) {
  const auto num_ids = static_cast<int64_t>(logits_.size());
  auto in_range = [num_ids](int32_t id) { return id >= 0 && id < num_ids; };
  if (!params.allowed_ids.empty()) {
    scratch_.assign(logits_.size(), kMasked);
    for (int32_t id : params.allowed_ids) {
      if (in_range(id)) scratch_[id] = logits_[id];
    }
    logits_.swap(scratch_);
  }
  for (int32_t id : params.banned_ids) {
    if (in_range(id)) logits_[id] = kMasked;
  }
  if (output_position < params.min_tokens) {
    for (int32_t id : params.stop_ids) {
      if (in_range(id)) logits_[id] = kMasked;
    }
  }
  for (const LogitBias& bias : params.logit_bias) {
    if (in_range(bias.id)) logits_[bias.id] += bias.bias;
  }
}

void Sampler::ApplyPenalties(const SamplerParams& params, const TokenHistory& history) {
  const auto num_ids = static_cast<int64_t>(logits_.size());
  for (const TokenHistory::Entry& entry : history.entries()) {
    if (entry.id < 0 || entry.id >= num_ids) continue;
    float& x = logits_[entry.id];
    x = x > 0.0f ? x / params.repetition_penalty : x * params.repetition_penalty;
    if (entry.output_count > 0) {
      x -= params.frequency_penalty * static_cast<float>(entry.output_count);
      x -= params.presence_penalty;
    }
  }
}

void Sampler::CollectCandidates(const SamplerParams& params, float max) {
  for (float& x : logits_) x /= params.temperature;
  scratch_.resize(logits_.size());
  for (size_t i = 0; i < logits_.size(); ++i) scratch_[i] = logits_[i] - max;
  simd::Active().exp(scratch_.data(), static_cast<int64_t>(scratch_.size()), scratch_.data());

  // min_p first: what it drops is masked when top_k counts. The largest weight is 1.
  for (size_t i = 0; i < logits_.size(); ++i) {
    if (logits_[i] == kMasked || scratch_[i] < params.min_p) continue;
    candidates_.push_back({static_cast<int32_t>(i), logits_[i], scratch_[i]});
  }
  const auto num_candidates = static_cast<int64_t>(candidates_.size());
  if (params.top_k > 0 && params.top_k < num_candidates) {
    const float threshold = TopKThreshold(params.top_k);
    std::erase_if(candidates_, [threshold](const Candidate& c) { return c.logit < threshold; });
  }
  if (params.top_p < 1.0f) ApplyTopP(params.top_p, max);
}

void Sampler::CollectUnmasked() {
  const float max = *std::max_element(logits_.begin(), logits_.end());
  scratch_.resize(logits_.size());
  for (size_t i = 0; i < logits_.size(); ++i) scratch_[i] = logits_[i] - max;
  simd::Active().exp(scratch_.data(), static_cast<int64_t>(scratch_.size()), scratch_.data());
  for (size_t i = 0; i < logits_.size(); ++i) {
    if (logits_[i] == kMasked) continue;
    candidates_.push_back({static_cast<int32_t>(i), logits_[i], scratch_[i]});
  }
}

Logprobs Sampler::ProcessedLogprobs(int32_t chosen, int top_k) {
  if (candidates_.empty()) CollectUnmasked();
  double total = 0.0;
  float max = kMasked;
  for (const Candidate& candidate : candidates_) {
    total += double{candidate.weight};
    max = std::max(max, candidate.logit);
  }
  const double log_total = std::log(total);
  Logprobs out;
  const auto logprob = [&](float logit) {
    return static_cast<float>(double{logit} - double{max} - log_total);
  };
  // Ids ascend, so of equals the lower one is listed first.
  for (const Candidate& candidate : candidates_) {
    if (candidate.id == chosen) out.chosen = logprob(candidate.logit);
    InsertTop(candidate.id, candidate.logit, top_k, &out);
  }
  for (int i = 0; i < out.num_top; ++i) out.top_logprobs[i] = logprob(out.top_logprobs[i]);
  return out;
}

float Sampler::TopKThreshold(int top_k) {
  scratch_.clear();
  if (top_k > kHeapTopK) {
    for (const Candidate& c : candidates_) scratch_.push_back(c.logit);
    std::nth_element(scratch_.begin(), scratch_.begin() + top_k - 1, scratch_.end(),
                     std::greater<>());
    return scratch_[top_k - 1];
  }
  for (const Candidate& c : candidates_) {  // a heap of the k largest, the least of them on top
    if (scratch_.size() < static_cast<size_t>(top_k)) {
      scratch_.push_back(c.logit);
      std::push_heap(scratch_.begin(), scratch_.end(), std::greater<>());
    } else if (c.logit > scratch_.front()) {
      std::pop_heap(scratch_.begin(), scratch_.end(), std::greater<>());
      scratch_.back() = c.logit;
      std::push_heap(scratch_.begin(), scratch_.end(), std::greater<>());
    }
  }
  return scratch_.front();
}

void Sampler::ApplyTopP(float top_p, float max) {
  // Descending order without sorting everything: buckets by the distance to the largest logit, as
  // the leading bits of a non-negative float, which order as the floats do. Only the bucket in
  // which the sum reaches top_p is sorted.
  auto bucket_of = [max](const Candidate& c) {
    return std::bit_cast<uint32_t>(max - c.logit) >> kBucketShift;
  };
  bucket_sums_.assign(kNumBuckets, 0.0);
  double total = 0.0;
  for (const Candidate& c : candidates_) {
    bucket_sums_[bucket_of(c)] += double{c.weight};
    total += double{c.weight};
  }
  const double target = double{top_p} * total;
  double before = 0.0;
  uint32_t crossing = 0;
  while (crossing + 1 < kNumBuckets && before + bucket_sums_[crossing] < target) {
    before += bucket_sums_[crossing++];
  }

  std::vector<Candidate>& last = crossing_;
  last.clear();
  for (const Candidate& c : candidates_) {
    if (bucket_of(c) == crossing) last.push_back(c);
  }
  auto precedes = [](const Candidate& a, const Candidate& b) {
    return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
  };
  std::sort(last.begin(), last.end(), precedes);
  size_t kept = 0;
  for (; kept < last.size() && (kept == 0 || before < target); ++kept)
    before += double{last[kept].weight};
  std::erase_if(candidates_, [&](const Candidate& c) {
    const uint32_t bucket = bucket_of(c);
    return bucket > crossing || (bucket == crossing && (kept == 0 || precedes(last[kept - 1], c)));
  });
}

}  // namespace sluice::kernels::cpu
