// SPDX-License-Identifier: Apache-2.0
// Qwen3's feed-forward network, one rank's columns of one layer: down(silu(gate(x)) * up(x)).
//
// Weights are immutable after Load; the step thread calls Forward.
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "worker/model/linear.h"
#include "worker/model/load_context.h"
#include "worker/model/step_context.h"

namespace sluice::worker {

class Mlp {
 public:
  static Mlp Load(const LoadContext& context, int layer);

  int64_t bytes() const { return gate_up_.bytes() + down_.bytes(); }
  // Floats that Forward needs as scratch for num_tokens.
  int64_t ScratchFloats(int64_t num_tokens) const;

  // x, out [num_tokens][hidden].
  absl::Status Forward(const StepContext& step, const float* x, float* scratch, float* out) const;

 private:
  ColumnParallelLinear gate_up_;
  RowParallelLinear down_;
};

}  // namespace sluice::worker
