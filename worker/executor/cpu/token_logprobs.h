// SPDX-License-Identifier: Apache-2.0
// The kernel's log probabilities as results carry them. A pure function, any thread.
#pragma once

#include "kernels/cpu/sampling/logprobs.h"
#include "worker/executor/executor.h"

namespace sluice::worker {

inline TokenLogprobs ToTokenLogprobs(const kernels::cpu::Logprobs& logprobs) {
  return {.logprob = logprobs.chosen,
          .top_ids = {logprobs.top_ids, logprobs.top_ids + logprobs.num_top},
          .top_logprobs = {logprobs.top_logprobs, logprobs.top_logprobs + logprobs.num_top}};
}

}  // namespace sluice::worker
