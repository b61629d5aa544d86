// SPDX-License-Identifier: Apache-2.0
// Log probabilities of the raw logits (before temperature, penalties, bias and masks), as vLLM's
// raw_logprobs mode and OpenAI's API report them: logprob[i] = x[i] - max - ln(sum over j of
// exp(x[j] - max)). The sum runs over the whole row, padding rows included, as Transformers'
// log_softmax does: blocks of 1,024 in 16 float lanes each, blocks added in double.
#pragma once

#include <cstdint>

namespace sluice::kernels::cpu {

inline constexpr int kMaxLogprobs = 20;

struct Logprobs {
  bool finite = true;  // false: a NaN or an infinity among the logits, the rest is meaningless
  float chosen = 0.0f;
  int num_top = 0;
  int32_t top_ids[kMaxLogprobs] = {};  // most likely first, ties by lower id
  float top_logprobs[kMaxLogprobs] = {};
};

// Puts an id into the list of the top_k if its value (a logit, while the list is made) belongs
// there; of equals the one that came first stays in front.
inline void InsertTop(int32_t id, float value, int top_k, Logprobs* out) {
  int& count = out->num_top;
  if (top_k == 0 || (count == top_k && !(value > out->top_logprobs[count - 1]))) return;
  int at = count < top_k ? count++ : top_k - 1;
  for (; at > 0 && value > out->top_logprobs[at - 1]; --at) {
    out->top_logprobs[at] = out->top_logprobs[at - 1];
    out->top_ids[at] = out->top_ids[at - 1];
  }
  out->top_logprobs[at] = value;
  out->top_ids[at] = id;
}

// logits [num_logits] f32. The top_k most likely ids are taken among ids < vocab_size
// (what lies beyond is padding and has no text). REQUIRES: 0 <= chosen < num_logits, 0 <= top_k <=
// kMaxLogprobs.
Logprobs RawLogprobs(const float* logits, int64_t num_logits, int64_t vocab_size, int32_t chosen,
                     int top_k);

}  // namespace sluice::kernels::cpu
