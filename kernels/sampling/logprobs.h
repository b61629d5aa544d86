// SPDX-License-Identifier: Apache-2.0
// Log probabilities of ids, of the raw logits: logprob[i] = x[i] - max - ln(sum of exp(x[j] - max))
// over the whole row, padding included; what kernels/cpu/sampling/logprobs.h computes.
// RunScoreLogits scores the ids of prompts; those of sampled ids are Sample's.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

#include "kernels/host/launch_result.h"
#include "kernels/sampling/logits_view.h"
#include "kernels/sampling/sampler_state.h"

namespace sluice::kernels::sampling {

// As it lies in device memory.
struct Logprobs {
  int32_t finite = 0;  // 0: a NaN or an infinity among the logits, the rest is meaningless
  int32_t num_top = 0;
  float chosen = 0.0f;
  int32_t top_ids[kMaxTopLogprobs] = {};  // most likely first, ties by lower id
  float top_logprobs[kMaxTopLogprobs] = {};
};

struct ScoreLogits {
  LogitsView logits;
  int num_token_ids = 0;               // ids from here on are never among the most likely
  const int32_t* chosen = nullptr;     // [num_logits]; in [0, vocab)
  const int32_t* top_k = nullptr;      // [num_logits]; 0 to kMaxTopLogprobs
  const int32_t* num_valid = nullptr;  // device; rows of logits beyond are skipped; null: none are
  int num_logits = 0;
  int num_sms = 0;            // of the device; changes no result
  void* workspace = nullptr;  // SamplerWorkspaceBytes, aligned to 16
  Logprobs* out = nullptr;    // [num_logits]
};

// Four kernels. Capturable: what varies is read from the device.
LaunchResult RunScoreLogits(const ScoreLogits& score, cudaStream_t stream);

// Scratch for up to so many rows of logits, for RunScoreLogits and RunSample alike (one at a time:
// a stream orders them): 50 KB a row of 151,936 logits. Nothing has to be initialized.
size_t SamplerWorkspaceBytes(int max_logits, int vocab);

}  // namespace sluice::kernels::sampling
