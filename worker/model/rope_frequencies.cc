// SPDX-License-Identifier: Apache-2.0
#include "worker/model/rope_frequencies.h"

namespace sluice::worker {

kernels::cpu::RopeFrequencies RopeFrequenciesOf(const Qwen3Config& config) {
  if (!config.yarn.has_value()) return kernels::cpu::DefaultRope(config.rope_theta, kHeadDim);
  return kernels::cpu::YarnRope(
      config.rope_theta, kHeadDim,
      {.factor = config.yarn->factor,
       .original_max_positions = config.yarn->original_max_position_embeddings,
       .beta_fast = config.yarn->beta_fast,
       .beta_slow = config.yarn->beta_slow,
       .attention_factor = config.yarn->attention_factor});
}

}  // namespace sluice::worker
