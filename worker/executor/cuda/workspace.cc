// SPDX-License-Identifier: Apache-2.0
#include "worker/executor/cuda/workspace.h"

#include <algorithm>

#include "kernels/awq/linear_output.h"
#include "kernels/awq/linear_path.h"
#include "kernels/awq/medium_linear.h"
#include "kernels/awq/small_linear.h"
#include "kernels/dense/dense_linear.h"
#include "proto/wire/status_macros.h"

namespace sluice::worker {
namespace {

using kernels::awq::LinearPath;

constexpr int64_t kAlignment = 256;

// Bytes of the partial sums that a linear leaves at most, over all numbers of rows that leave any.
int64_t PartialBytes(const LinearLayout& linear, int max_tokens, int num_sms) {
  int64_t most = 0;
  if (!linear.is_awq) return most;
  for (int rows = 1; rows <= max_tokens; ++rows) {
    const LinearPath path = kernels::awq::ChooseLinearPath(rows);
    if (path == LinearPath::kDense) break;
    const kernels::awq::SplitPlan plan =
        path == LinearPath::kSmall
            ? kernels::awq::PlanSmallLinear(linear.outputs, linear.inputs, rows, num_sms)
            : kernels::awq::PlanMediumLinear(linear.outputs, linear.inputs, rows, num_sms);
    most = std::max(most, plan.PartialFloats(rows, linear.outputs));
  }
  return most * static_cast<int64_t>(sizeof(float));
}

bool NeedsDequantized(int max_tokens) {
  return kernels::awq::ChooseLinearPath(max_tokens) == LinearPath::kDense;
}

}  // namespace

WorkspaceLayout LayOutWorkspace(const Qwen3Config& config, const WeightLayout& weights,
                                const StepBounds& bounds, int rank, int tp_size, int num_sms) {
  constexpr int64_t kBf16 = sizeof(__nv_bfloat16), kFloat = sizeof(float);
  const int64_t tokens = bounds.max_tokens;
  const int64_t hidden = config.hidden_size;
  const int64_t q_size = config.q_size() / tp_size;
  const int64_t kv_heads = config.num_kv_heads / tp_size;
  const int64_t vocabulary = config.vocab_size / tp_size;

  WorkspaceLayout layout;
  const auto place = [&layout](int64_t bytes, int64_t* item) {
    const int64_t offset = layout.bytes;
    layout.bytes = (offset + bytes + kAlignment - 1) / kAlignment * kAlignment;
    *item += layout.bytes - offset;
    return offset;
  };
  int64_t* activations = &layout.sizes.activations;
  layout.residual = place(tokens * hidden * kFloat, activations);
  layout.normed = place(tokens * hidden * kBf16, activations);
  layout.squares =
      place(int64_t{kernels::awq::kMaxScaledRows} * kernels::awq::kRowParts * kFloat, activations);
  layout.angles = place(tokens * kHeadDim * kFloat, activations);
  layout.q = place(tokens * q_size * kBf16, activations);
  layout.attended = place(tokens * q_size * kBf16, activations);
  layout.gated = place(tokens * config.intermediate_size / tp_size * kBf16, activations);
  // All layers have the same shapes.
  const LayerLayout& layer = weights.layers.front();
  int64_t linear_out = tokens * std::max(layer.qkv.outputs, layer.gate_up.outputs) * kBf16;
  for (const LinearLayout* linear : {&layer.qkv, &layer.o, &layer.gate_up, &layer.down}) {
    linear_out = std::max(linear_out, PartialBytes(*linear, bounds.max_tokens, num_sms));
  }
  layout.linear_out = place(linear_out, activations);
  layout.row_parallel = place(tokens * hidden * kFloat, activations);
  layout.dequantized =
      place(NeedsDequantized(bounds.max_tokens) ? weights.max_awq_elements() * kBf16 : 0,
            &layout.sizes.dequantized_linear);
  layout.matmul =
      place(static_cast<int64_t>(kernels::dense::kDenseWorkspaceBytes), &layout.sizes.matmul);

  layout.decode_shape = {bounds.max_rows, static_cast<int>(kv_heads), num_sms};
  kernels::attention::DecodeWorkspace undivided;
  layout.decode = place(static_cast<int64_t>(kernels::attention::DivideDecodeWorkspace(
                            nullptr, layout.decode_shape, &undivided)),
                        &layout.sizes.attention);
  layout.prefill_rows = kernels::attention::PrefillPartialRows(num_sms);
  layout.prefill_out = place(layout.prefill_rows * kHeadDim * kFloat, &layout.sizes.attention);
  layout.prefill_sums =
      place(layout.prefill_rows * static_cast<int64_t>(sizeof(float2)), &layout.sizes.attention);

  const int64_t shards = rank == 0 ? tp_size : 1;  // rank 0 gathers everybody's
  layout.head_in = place(bounds.max_logits * hidden * kBf16, &layout.sizes.logits);
  layout.logits = place(shards * bounds.max_logits * vocabulary * kFloat, &layout.sizes.logits);
  layout.page_tables =
      place(int64_t{bounds.max_rows} * bounds.max_pages_per_row * int64_t{sizeof(int32_t)},
            &layout.sizes.sampler);
  return layout;
}

absl::StatusOr<Workspace> AllocateWorkspace(const WorkspaceLayout& layout) {
  Workspace workspace;
  SLUICE_ASSIGN_OR_RETURN(workspace.memory,
                          device::DeviceBuffer::Allocate(layout.bytes, "the workspace of a step"));
  const device::DeviceBuffer& memory = workspace.memory;
  workspace.residual = memory.As<float>(layout.residual);
  workspace.normed = memory.As<__nv_bfloat16>(layout.normed);
  workspace.squares = memory.As<float>(layout.squares);
  workspace.angles = memory.As<float2>(layout.angles);
  workspace.q = memory.As<__nv_bfloat16>(layout.q);
  workspace.attended = memory.As<__nv_bfloat16>(layout.attended);
  workspace.gated = memory.As<__nv_bfloat16>(layout.gated);
  workspace.linear_out = memory.As<void>(layout.linear_out);
  workspace.row_parallel = memory.As<float>(layout.row_parallel);
  workspace.dequantized = memory.As<__nv_bfloat16>(layout.dequantized);
  workspace.matmul = memory.As<void>(layout.matmul);
  kernels::attention::DivideDecodeWorkspace(memory.As<void>(layout.decode), layout.decode_shape,
                                            &workspace.decode);
  workspace.prefill = {memory.As<float>(layout.prefill_out), memory.As<float2>(layout.prefill_sums),
                       layout.prefill_rows};
  workspace.head_in = memory.As<__nv_bfloat16>(layout.head_in);
  workspace.logits = memory.As<float>(layout.logits);
  workspace.page_tables = memory.As<int32_t>(layout.page_tables);
  return workspace;
}

}  // namespace sluice::worker
