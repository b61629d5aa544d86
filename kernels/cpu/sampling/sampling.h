// SPDX-License-Identifier: Apache-2.0
// Sampler: picks the next id from one row of logits. The steps and their order are vLLM's
// (vllm/v1/sample, sampler.py and ops/), made exact where vLLM leaves a choice:
//   1 a NaN or an infinity among the logits fails the row
//   2 masks: ids >= vocab_size, ids not allowed, banned ids, stop ids before min_tokens     logit =
//   -inf 3 logit_bias is added 4 repetition penalty r on ids of prompt or output: x > 0 ? x / r : x
//   * r; then
//     x -= frequency_penalty * count in output; x -= presence_penalty if the output holds it
//   5 temperature < 1e-5: the largest logit, the lowest id among equals. Done
//   6 x /= temperature
//   7 min_p: drops ids with p < min_p * largest p
//   8 top_k: drops ids with x < the k-th largest (equals stay)
//   9 top_p: of the softmax of what is left, in descending order (ties by lower id), drops an id
//   when those
//     before it already sum to top_p or more; the first always stays
//  10 inverse CDF over the ids left, in ascending order, of the uniform draw keyed by (seed,
//  choice, output
//     position) (kernels/host/philox.h); weights exp(x - max) in float, sums in double, sequential
// Nothing depends on other rows, so a request draws the same ids in any batch and wherever it
// resumes.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/cpu/sampling/logprobs.h"
#include "kernels/cpu/sampling/token_history.h"

namespace sluice::kernels::cpu {

struct LogitBias {
  int32_t id = 0;
  float bias = 0.0f;
};

// Ids outside [0, vocab_size) are ignored in every list.
struct SamplerParams {
  float temperature = 1.0f;  // below 1e-5: greedy
  int top_k = 0;             // 0: off
  float top_p = 1.0f;        // (0, 1]
  float min_p = 0.0f;        // [0, 1]
  float repetition_penalty = 1.0f;
  float presence_penalty = 0.0f;
  float frequency_penalty = 0.0f;
  std::span<const LogitBias> logit_bias;
  std::span<const int32_t> allowed_ids;  // empty: all
  std::span<const int32_t> banned_ids;
  std::span<const int32_t> stop_ids;  // masked while output_position < min_tokens
  int64_t min_tokens = 0;
  uint64_t seed = 0;
  uint32_t choice = 0;

  bool UsesHistory() const {
    return repetition_penalty != 1.0f || presence_penalty != 0.0f || frequency_penalty != 0.0f;
  }
};

enum class SampleOutcome : uint8_t {
  kSampled,
  kBadLogits,       // the model produced a NaN or an infinity
  kNothingAllowed,  // the masks leave no id
};

struct SampleResult {
  SampleOutcome outcome = SampleOutcome::kSampled;
  int32_t id = 0;  // valid when sampled
};

// Owns the scratch of one thread; one per thread that samples. Rows may be sampled in parallel,
// each by its own Sampler.
class Sampler {
 public:
  // logits [num_logits] f32 are not changed. history may be null when !params.UsesHistory().
  // output_position is the number of ids generated before this one, resumed ones included.
  SampleResult Sample(std::span<const float> logits, int64_t vocab_size,
                      const SamplerParams& params, const TokenHistory* history,
                      int64_t output_position);

  // Log probabilities of what the last Sample drew from: its softmax after masks, bias, penalties,
  // temperature, min_p, top_k and top_p (greedy: after masks, bias and penalties). Ids that were
  // dropped are not listed. REQUIRES: the last outcome was kSampled; chosen is its id; 0 <= top_k
  // <= kMaxLogprobs.
  Logprobs ProcessedLogprobs(int32_t chosen, int top_k);

  // What the last non-greedy Sample drew from, ids ascending, weights exp(x - max).
  struct Candidate {
    int32_t id = 0;
    float logit = 0.0f;  // after temperature
    float weight = 0.0f;
  };
  std::span<const Candidate> CandidatesForTest() const { return candidates_; }

 private:
  void ApplyMasks(const SamplerParams& params, int64_t output_position);
  void ApplyPenalties(const SamplerParams& params, const TokenHistory& history);
  // Steps 6 to 9: fills candidates_, ids ascending.
  void CollectCandidates(const SamplerParams& params, float max);
  // After a greedy choice: all that the masks left.
  void CollectUnmasked();
  float TopKThreshold(int top_k);
  void ApplyTopP(float top_p, float max);

  std::vector<float> logits_;  // [vocab_size], the row being worked on
  std::vector<float> scratch_;
  std::vector<Candidate> candidates_;
  std::vector<Candidate> crossing_;  // top_p's
  std::vector<double> bucket_sums_;  // top_p's
};

}  // namespace sluice::kernels::cpu
