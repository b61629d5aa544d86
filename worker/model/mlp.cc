// SPDX-License-Identifier: Apache-2.0
#include "worker/model/mlp.h"

#include <vector>

#include "kernels/cpu/mlp.h"

namespace sluice::worker {

Mlp Mlp::Load(const LoadContext& context, int layer) {
  const std::vector<LinearShape> linears = LayerLinears(context.config, layer);
  Mlp result;
  result.gate_up_ = ColumnParallelLinear::Load(context, {linears[4], linears[5]});
  result.down_ = RowParallelLinear::Load(context, linears[6]);
  return result;
}

int64_t Mlp::ScratchFloats(int64_t num_tokens) const {
  return num_tokens * (gate_up_.local_outputs() + gate_up_.local_outputs() / 2);
}

absl::Status Mlp::Forward(const StepContext& step, const float* x, float* scratch,
                          float* out) const {
  const int64_t width = gate_up_.local_outputs() / 2;
  float* gate_up = scratch;                                  // [tokens][gate, up]
  float* activated = scratch + step.num_tokens * 2 * width;  // [tokens][width]
  gate_up_.Forward(x, step.num_tokens, gate_up, step.pool);
  kernels::cpu::SiluMul(gate_up, step.num_tokens, width, activated, step.pool);
  return down_.Forward(activated, step.num_tokens, out, step.pool, step.communicator);
}

}  // namespace sluice::worker
