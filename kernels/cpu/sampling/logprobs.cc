// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/sampling/logprobs.h"

#include <algorithm>
#include <cmath>

#include "kernels/cpu/simd/kernel_table.h"

namespace sluice::kernels::cpu {
namespace {

constexpr int64_t kSumBlock = 1024;

// ln(sum of exp(x - max)).
double LogSumExp(const float* logits, int64_t num_logits, float max) {
  const simd::KernelTable& kernels = simd::Active();
  double sum = 0.0;
  for (int64_t i = 0; i < num_logits; i += kSumBlock) {
    sum += double{kernels.sum_exp(logits + i, max, std::min(kSumBlock, num_logits - i))};
  }
  return std::log(sum);
}

}  // namespace

Logprobs RawLogprobs(const float* logits, int64_t num_logits, int64_t vocab_size, int32_t chosen,
                     int top_k) {
  Logprobs out;
  const float max = simd::Active().max_finite(logits, num_logits, &out.finite);
  if (!out.finite) return out;
  const double log_sum = LogSumExp(logits, num_logits, max);
  auto logprob = [&](int32_t id) {
    return static_cast<float>(double{logits[id]} - double{max} - log_sum);
  };
  out.chosen = logprob(chosen);
  // Logits first: that many logarithms of equal order would round into ties.
  const int64_t num_ids = top_k > 0 ? std::min(vocab_size, num_logits) : 0;
  for (int64_t id = 0; id < num_ids; ++id) {
    InsertTop(static_cast<int32_t>(id), logits[id], top_k, &out);
  }
  for (int i = 0; i < out.num_top; ++i) out.top_logprobs[i] = logprob(out.top_ids[i]);
  return out;
}

}  // namespace sluice::kernels::cpu
