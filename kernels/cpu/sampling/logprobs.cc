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

// Insertion into a short list in descending order; ids ascend, so an equal logit goes behind.
void SelectTop(const float* logits, int64_t vocab_size, int top_k, Logprobs* out) {
  float values[kMaxLogprobs];
  int count = 0;
  for (int64_t id = 0; id < vocab_size; ++id) {
    const float x = logits[id];
    if (count == top_k && !(x > values[count - 1])) continue;
    int at = count < top_k ? count++ : top_k - 1;
    for (; at > 0 && x > values[at - 1]; --at) {
      values[at] = values[at - 1];
      out->top_ids[at] = out->top_ids[at - 1];
    }
    values[at] = x;
    out->top_ids[at] = static_cast<int32_t>(id);
  }
  out->num_top = count;
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
  if (top_k > 0) SelectTop(logits, std::min(vocab_size, num_logits), top_k, &out);
  for (int i = 0; i < out.num_top; ++i) out.top_logprobs[i] = logprob(out.top_ids[i]);
  return out;
}

}  // namespace sluice::kernels::cpu
