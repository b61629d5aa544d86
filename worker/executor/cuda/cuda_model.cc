// SPDX-License-Identifier: Apache-2.0
#include "worker/executor/cuda/cuda_model.h"

#include <cmath>
#include <optional>
#include <utility>

#include "kernels/attention/decode_attention.h"
#include "kernels/attention/prefill_attention.h"
#include "kernels/awq/dequantize.h"
#include "kernels/awq/linear_path.h"
#include "kernels/awq/medium_linear.h"
#include "kernels/awq/small_linear.h"
#include "kernels/embedding/embedding_gather.h"
#include "kernels/embedding/gather_rows.h"
#include "kernels/mlp/silu_mul.h"
#include "kernels/norm/add_rms_norm.h"
#include "kernels/rope/head_norm_rope.h"
#include "proto/wire/status_macros.h"
#include "worker/device/cuda_status.h"

namespace sluice::worker {
namespace {

using device::ToStatus;
using kernels::awq::LinearOutput;
using kernels::awq::LinearPath;
using kernels::dense::OutputType;

template <typename T>
const T* At(const DeviceStep& step, int64_t offset) {
  return reinterpret_cast<const T*>(step.input + offset);
}

}  // namespace

CudaModel::CudaModel(const Qwen3Config& config, const StepBounds& bounds, int num_sms,
                     DeviceCommunicator* communicator)
    : config_(config),
      bounds_(bounds),
      num_sms_(num_sms),
      communicator_(*communicator),
      num_q_heads_(config.num_heads / communicator->world_size()),
      num_kv_heads_(config.num_kv_heads / communicator->world_size()) {}

absl::StatusOr<std::unique_ptr<CudaModel>> CudaModel::Create(
    const Qwen3Config& config, DeviceWeights weights, const WorkspaceLayout& workspace,
    const StepBounds& bounds, int num_pages, int num_sms, DeviceCommunicator* communicator) {
  std::unique_ptr<CudaModel> model(new CudaModel(config, bounds, num_sms, communicator));
  model->weights_ = std::move(weights);
  SLUICE_ASSIGN_OR_RETURN(model->workspace_, AllocateWorkspace(workspace));
  model->kv_ = {.memory = nullptr,
                .num_layers = config.num_layers,
                .num_pages = num_pages,
                .num_kv_heads = model->num_kv_heads_};
  SLUICE_ASSIGN_OR_RETURN(model->kv_memory_,
                          device::DeviceBuffer::Allocate(model->kv_.bytes(), "the KV cache"));
  model->kv_.memory = model->kv_memory_.As<__nv_bfloat16>();
  kernels::dense::DenseLinear::Opened opened =
      kernels::dense::DenseLinear::Open({.library_folders = {},
                                         .workspace = model->workspace_.matmul,
                                         .workspace_bytes = kernels::dense::kDenseWorkspaceBytes});
  if (opened.linear == nullptr) return absl::FailedPreconditionError(opened.error);
  model->dense_ = std::move(opened.linear);
  return model;
}

absl::Status CudaModel::Forward(const DeviceStep& step, cudaStream_t stream) {
  const int tokens = step.shape.tokens;
  if (tokens == 0) return absl::OkStatus();
  const StepLayout layout(step.shape);
  SLUICE_RETURN_IF_ERROR(
      ToStatus(kernels::rope::RunRopeAngles({.positions = At<int32_t>(step, layout.positions),
                                             .inv_freq = weights_.inv_freq,
                                             .attention_factor = weights_.attention_factor,
                                             .rows = tokens,
                                             .out = workspace_.angles},
                                            stream)));
  if (step.shape.decodes > 0) {
    SLUICE_RETURN_IF_ERROR(ToStatus(
        kernels::attention::RunDecodePlan({.lengths = At<int32_t>(step, layout.decode_lengths),
                                           .rows = step.shape.decodes,
                                           .num_kv_heads = num_kv_heads_,
                                           .num_sms = num_sms_,
                                           .workspace = workspace_.decode},
                                          stream)));
  }
  SLUICE_RETURN_IF_ERROR(Done("plan"));
  // Not chained: what layers read of the plan stands before the first of their kernels begins.
  SLUICE_RETURN_IF_ERROR(Embed(step, stream));
  SLUICE_RETURN_IF_ERROR(Done("embedding"));

  const auto& layers = weights_.layers;
  SLUICE_RETURN_IF_ERROR(Norm(nullptr, layers.front().input_norm, tokens, stream));
  SLUICE_RETURN_IF_ERROR(Done("norm"));
  LinearInput x = {.values = workspace_.normed, .row_scale = {}};
  LinearOutput down;
  for (size_t index = 0; index < layers.size(); ++index) {
    const DeviceLayer& layer = layers[index];
    if (index > 0) {
      SLUICE_ASSIGN_OR_RETURN(x, SumNormForLinear(down, layer.input_norm, stream));
    }
    SLUICE_ASSIGN_OR_RETURN(const LinearOutput qkv,
                            RunLinear(layer.qkv, x, tokens, OutputType::kBf16, stream));
    SLUICE_RETURN_IF_ERROR(Done("qkv"));
    SLUICE_RETURN_IF_ERROR(Attend(step, static_cast<int>(index), qkv, stream));
    SLUICE_RETURN_IF_ERROR(Done("attention"));
    SLUICE_ASSIGN_OR_RETURN(const LinearOutput o, RunLinear(layer.o, {workspace_.attended, {}},
                                                            tokens, OutputType::kFloat, stream));
    SLUICE_RETURN_IF_ERROR(Done("o"));
    SLUICE_ASSIGN_OR_RETURN(x, SumNormForLinear(o, layer.post_attention_norm, stream));
    SLUICE_RETURN_IF_ERROR(GateUp(layer.gate_up, x, tokens, stream));
    SLUICE_ASSIGN_OR_RETURN(
        down, RunLinear(layer.down, {workspace_.gated, {}}, tokens, OutputType::kFloat, stream));
    SLUICE_RETURN_IF_ERROR(Done("down"));
  }
  // Of all tokens, though few are sampled after: prompt scoring may ask for any of them. The head
  // wants it whole.
  SLUICE_RETURN_IF_ERROR(SumNorm(down, weights_.final_norm, stream));
  if (step.shape.logits == 0) return absl::OkStatus();
  if (step.all_logits) return Head(workspace_.normed, step.shape.logits, stream);
  SLUICE_RETURN_IF_ERROR(ToStatus(kernels::embedding::GatherRows(
      workspace_.normed, At<int32_t>(step, layout.logits_tokens), step.shape.logits,
      config_.hidden_size, workspace_.head_in, stream)));
  return Head(workspace_.head_in, step.shape.logits, stream);
}

absl::Status CudaModel::Embed(const DeviceStep& step, cudaStream_t stream) {
  SLUICE_RETURN_IF_ERROR(ToStatus(
      kernels::embedding::RunEmbeddingGather({.table = weights_.embedding,
                                              .first_id = weights_.first_id,
                                              .vocab_rows = weights_.vocab_rows,
                                              .width = config_.hidden_size,
                                              .ids = At<int32_t>(step, StepLayout(step.shape).ids),
                                              .last_ids = step.last_ids,
                                              .rows = step.shape.tokens,
                                              .out = workspace_.residual},
                                             stream)));
  return communicator_.AllReduceSum(workspace_.residual,
                                    int64_t{step.shape.tokens} * config_.hidden_size, stream);
}

absl::Status CudaModel::Norm(const LinearOutput* delta, const __nv_bfloat16* weight, int rows,
                             cudaStream_t stream) {
  return ToStatus(kernels::norm::RunAddRmsNorm(NormOf(delta, weight, rows), stream));
}

kernels::norm::AddRmsNorm CudaModel::NormOf(const LinearOutput* delta, const __nv_bfloat16* weight,
                                            int rows) const {
  return {.residual = workspace_.residual,
          .delta = delta,
          .weight = weight,
          .eps = static_cast<float>(config_.rms_norm_eps),
          .rows = rows,
          .width = config_.hidden_size,
          .out = workspace_.normed};
}

absl::Status CudaModel::SumNorm(const LinearOutput& part, const __nv_bfloat16* weight,
                                cudaStream_t stream) {
  SLUICE_ASSIGN_OR_RETURN(const bool normed, communicator_.AllReduceAddRmsNorm(
                                                 NormOf(&part, weight, part.rows), stream));
  if (normed) return Done("all_reduce");
  LinearOutput sum = part;
  if (communicator_.world_size() > 1) {
    SLUICE_RETURN_IF_ERROR(communicator_.AllReduceLinear(part, workspace_.row_parallel, stream));
    SLUICE_RETURN_IF_ERROR(Done("all_reduce"));
    sum = kernels::awq::WholeOutput(workspace_.row_parallel, part.rows, part.outputs);
  }
  SLUICE_RETURN_IF_ERROR(Norm(&sum, weight, part.rows, stream));
  return Done("norm");
}

absl::StatusOr<LinearInput> CudaModel::SumNormForLinear(const LinearOutput& part,
                                                        const __nv_bfloat16* weight,
                                                        cudaStream_t stream) {
  SLUICE_ASSIGN_OR_RETURN(
      const std::optional<kernels::awq::RowScale> scale,
      communicator_.AllReduceScaledNorm(part,
                                        {.residual = workspace_.residual,
                                         .weight = weight,
                                         .eps = static_cast<float>(config_.rms_norm_eps),
                                         .out = workspace_.normed,
                                         .squares = workspace_.squares},
                                        stream));
  LinearInput x = {.values = workspace_.normed, .row_scale = {}};
  if (!scale.has_value()) {
    SLUICE_RETURN_IF_ERROR(SumNorm(part, weight, stream));
    return x;
  }
  x.row_scale = *scale;
  SLUICE_RETURN_IF_ERROR(Done("all_reduce"));
  return x;
}

absl::Status CudaModel::Attend(const DeviceStep& step, int layer, const LinearOutput& qkv,
                               cudaStream_t stream) {
  const StepLayout layout(step.shape);
  const DeviceLayer& weights = weights_.layers[static_cast<size_t>(layer)];
  const kernels::attention::KvPages pages = kv_.Layer(layer);
  SLUICE_RETURN_IF_ERROR(
      ToStatus(kernels::rope::RunHeadNormRope({.qkv = qkv,
                                               .num_q_heads = num_q_heads_,
                                               .q_norm = weights.q_norm,
                                               .k_norm = weights.k_norm,
                                               .eps = static_cast<float>(config_.rms_norm_eps),
                                               .angles = workspace_.angles,
                                               .slots = At<int32_t>(step, layout.slots),
                                               .pages = pages,
                                               .q = workspace_.q},
                                              stream)));
  SLUICE_RETURN_IF_ERROR(Done("rope"));
  const float scale = 1.0f / std::sqrt(static_cast<float>(kHeadDim));
  if (step.shape.decodes > 0) {
    SLUICE_RETURN_IF_ERROR(ToStatus(
        kernels::attention::RunDecodeAttention({.q = workspace_.q,
                                                .pages = pages,
                                                .page_tables = workspace_.page_tables,
                                                .table_rows = At<int32_t>(step, layout.decode_rows),
                                                .max_pages = bounds_.max_pages_per_row,
                                                .lengths = At<int32_t>(step, layout.decode_lengths),
                                                .rows = step.shape.decodes,
                                                .num_q_heads = num_q_heads_,
                                                .scale = scale,
                                                .num_sms = num_sms_,
                                                .workspace = workspace_.decode,
                                                .out = workspace_.attended},
                                               stream)));
  }
  if (step.shape.tiles == 0) return absl::OkStatus();
  return ToStatus(kernels::attention::RunPrefillAttention(
      {.q = workspace_.q,
       .pages = pages,
       .page_tables = workspace_.page_tables,
       .max_pages = bounds_.max_pages_per_row,
       .tiles = At<kernels::attention::PrefillTile>(step, layout.tiles),
       .num_tiles = step.shape.tiles,
       .num_tokens = step.shape.tokens,
       .tile_tokens = step.shape.tokens - step.shape.decodes,
       .max_slots = step.shape.tile_slots,
       .num_q_heads = num_q_heads_,
       .scale = scale,
       .num_sms = num_sms_,
       .workspace = workspace_.prefill,
       .out = workspace_.attended},
      stream));
}

absl::Status CudaModel::GateUp(const DeviceLinear& gate_up, const LinearInput& x, int rows,
                               cudaStream_t stream) {
  // SiLU is not linear: what a linear gates itself must be whole.
  const bool is_whole = x.row_scale.squares == nullptr;
  if (is_whole && gate_up.is_awq() && kernels::awq::ChooseLinearPath(rows) == LinearPath::kMedium) {
    const auto plan =
        kernels::awq::PlanGatedLinear(gate_up.outputs, gate_up.inputs, rows, num_sms_);
    if (plan.has_value()) {
      SLUICE_RETURN_IF_ERROR(ToStatus(kernels::awq::RunMediumLinear({.weight = gate_up.awq,
                                                                     .x = x.values,
                                                                     .rows = rows,
                                                                     .plan = *plan,
                                                                     .gated = workspace_.gated},
                                                                    stream)));
      return Done("gate_up");
    }
  }
  SLUICE_ASSIGN_OR_RETURN(const LinearOutput out,
                          RunLinear(gate_up, x, rows, OutputType::kBf16, stream));
  SLUICE_RETURN_IF_ERROR(Done("gate_up"));
  SLUICE_RETURN_IF_ERROR(
      ToStatus(kernels::mlp::SiluMul(out, gate_up.outputs / 2, workspace_.gated, stream)));
  return Done("silu");
}

absl::StatusOr<LinearOutput> CudaModel::RunLinear(const DeviceLinear& linear, const LinearInput& x,
                                                  int rows, OutputType type, cudaStream_t stream) {
  if (!linear.is_awq()) return RunDense(linear.dense, linear, x, rows, type, stream);
  auto* partials = static_cast<float*>(workspace_.linear_out);
  LinearOutput out;
  out.partials = partials;
  out.rows = rows;
  out.outputs = linear.outputs;
  out.row_scale = x.row_scale;
  switch (kernels::awq::ChooseLinearPath(rows)) {
    case LinearPath::kSmall:
      out.plan = kernels::awq::PlanSmallLinear(linear.outputs, linear.inputs, rows, num_sms_);
      SLUICE_RETURN_IF_ERROR(ToStatus(kernels::awq::RunSmallLinear({.weight = linear.awq,
                                                                    .x = x.values,
                                                                    .rows = rows,
                                                                    .plan = out.plan,
                                                                    .partials = partials},
                                                                   stream)));
      return out;
    case LinearPath::kMedium:
      out.plan = kernels::awq::PlanMediumLinear(linear.outputs, linear.inputs, rows, num_sms_);
      SLUICE_RETURN_IF_ERROR(ToStatus(kernels::awq::RunMediumLinear({.weight = linear.awq,
                                                                     .x = x.values,
                                                                     .rows = rows,
                                                                     .plan = out.plan,
                                                                     .partials = partials},
                                                                    stream)));
      return out;
    case LinearPath::kDense:
      break;
  }
  SLUICE_RETURN_IF_ERROR(
      ToStatus(kernels::awq::Dequantize(linear.awq, workspace_.dequantized, stream)));
  return RunDense(workspace_.dequantized, linear, x, rows, type, stream);
}

absl::StatusOr<LinearOutput> CudaModel::RunDense(const __nv_bfloat16* weight,
                                                 const DeviceLinear& shape, const LinearInput& x,
                                                 int rows, OutputType type, cudaStream_t stream) {
  LinearOutput out;
  out.rows = rows;
  out.outputs = shape.outputs;
  out.row_scale = x.row_scale;
  void* to = workspace_.linear_out;
  if (type == OutputType::kFloat) {
    to = workspace_.row_parallel;
    out.float_values = workspace_.row_parallel;
  } else {
    out.values = static_cast<const __nv_bfloat16*>(to);
  }
  SLUICE_RETURN_IF_ERROR(ToStatus(dense_->Run(
      {.shape =
           {.rows = rows, .outputs = shape.outputs, .inputs = shape.inputs, .output_type = type},
       .x = x.values,
       .weight = weight,
       .out = to},
      stream)));
  return out;
}

absl::Status CudaModel::Head(const __nv_bfloat16* x, int rows, cudaStream_t stream) {
  SLUICE_RETURN_IF_ERROR(ToStatus(dense_->Run({.shape = {.rows = rows,
                                                         .outputs = weights_.vocab_rows,
                                                         .inputs = config_.hidden_size,
                                                         .output_type = OutputType::kFloat},
                                               .x = x,
                                               .weight = weights_.lm_head,
                                               .out = workspace_.logits},
                                              stream)));
  SLUICE_RETURN_IF_ERROR(Done("head"));
  if (communicator_.world_size() == 1) return absl::OkStatus();
  float* gathered = communicator_.rank() == 0 ? workspace_.logits : nullptr;
  return communicator_.GatherToRoot(workspace_.logits, gathered,
                                    int64_t{rows} * weights_.vocab_rows, stream);
}

absl::Status CudaModel::ScoreTokens(int first_token, int count, cudaStream_t stream) {
  return Head(workspace_.normed + int64_t{first_token} * config_.hidden_size, count, stream);
}

kernels::sampling::LogitsView CudaModel::Logits(int num_logits) const {
  return {.base = workspace_.logits,
          .world = communicator_.world_size(),
          .shard_width = weights_.vocab_rows,
          .shard_stride = int64_t{num_logits} * weights_.vocab_rows};
}

absl::Status CudaModel::WritePageTables(const kernels::attention::PageTableEntry* entries,
                                        int num_entries, cudaStream_t stream) {
  return ToStatus(kernels::attention::WritePageTables(
      entries, num_entries, bounds_.max_pages_per_row, workspace_.page_tables, stream));
}

absl::Status CudaModel::CopyPages(const kernels::attention::PageCopy* copies, int num_copies,
                                  cudaStream_t stream) {
  return ToStatus(kernels::attention::CopyPages(kv_, copies, num_copies, stream));
}

}  // namespace sluice::worker
