// SPDX-License-Identifier: Apache-2.0
// CudaModel: the forward pass of one rank: which kernels run in which order, from token ids to
// logits. It owns the rank's weights, KV pages and workspace; what varies from step to step it
// reads from a StepInput in device memory, so that a CUDA graph can hold a whole pass.
//
// Everything is enqueued on the caller's stream; nothing waits or allocates. Used by one thread.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernels/attention/kv_cache.h"
#include "kernels/attention/page_copy.h"
#include "kernels/attention/page_table.h"
#include "kernels/awq/linear_output.h"
#include "kernels/dense/dense_linear.h"
#include "kernels/norm/add_rms_norm.h"
#include "kernels/sampling/logits_view.h"
#include "worker/device/device_buffer.h"
#include "worker/executor/cuda/device_weights.h"
#include "worker/executor/cuda/step_input.h"
#include "worker/executor/cuda/workspace.h"
#include "worker/model/qwen3_config.h"
#include "worker/parallel/device_communicator.h"

namespace sluice::worker {

// A step's input on the device.
struct DeviceStep {
  StepShape shape;                    // padded, where a graph is
  const std::byte* input = nullptr;   // StepLayout(shape)
  const int32_t* last_ids = nullptr;  // device, [max_rows]: what negative ids stand for
  // The logits of all tokens, in order.
  bool all_logits = false;
};

// What a linear reads, [rows][inputs], and what its output still has to be multiplied with.
struct LinearInput {
  const __nv_bfloat16* values = nullptr;
  kernels::awq::RowScale row_scale;
};

class CudaModel {
 public:
  // communicator: this rank's; it must outlive the model. num_sms: multiprocessors of the current
  // device.
  static absl::StatusOr<std::unique_ptr<CudaModel>> Create(
      const Qwen3Config& config, DeviceWeights weights, const WorkspaceLayout& workspace,
      const StepBounds& bounds, int num_pages, int num_sms, DeviceCommunicator* communicator);

  // Computes step.shape.tokens tokens, writes their keys and values, and leaves the logits of
  // step.shape.logits of them.
  absl::Status Forward(const DeviceStep& step, cudaStream_t stream);

  // Replaces the logits by those of `count` neighbouring tokens of the last Forward. REQUIRES:
  // count <= max_logits.
  absl::Status ScoreTokens(int first_token, int count, cudaStream_t stream);

  // The logits of the last Forward or ScoreTokens, of which there are num_logits rows; on rank 0
  // alone.
  kernels::sampling::LogitsView Logits(int num_logits) const;

  // For a bench: called after each operation was enqueued, with its name. Empty: not called.
  using Mark = std::function<absl::Status(const char* operation)>;
  void set_mark(Mark mark) { mark_ = std::move(mark); }

  // entries and copies: device memory.
  absl::Status WritePageTables(const kernels::attention::PageTableEntry* entries, int num_entries,
                               cudaStream_t stream);
  absl::Status CopyPages(const kernels::attention::PageCopy* copies, int num_copies,
                         cudaStream_t stream);

 private:
  CudaModel(const Qwen3Config& config, const StepBounds& bounds, int num_sms,
            DeviceCommunicator* communicator);

  absl::Status Embed(const DeviceStep& step, cudaStream_t stream);
  // What adds delta (may be null) to the residual and leaves its norm in normed.
  kernels::norm::AddRmsNorm NormOf(const kernels::awq::LinearOutput* delta,
                                   const __nv_bfloat16* weight, int rows) const;
  // Does it on this rank.
  absl::Status Norm(const kernels::awq::LinearOutput* delta, const __nv_bfloat16* weight, int rows,
                    cudaStream_t stream);
  // The same of what o or down has left, summed over ranks. The residual may then hold the sum in
  // this rank's share of the rows alone (DeviceCommunicator::AllReduceAddRmsNorm): read normed.
  absl::Status SumNorm(const kernels::awq::LinearOutput& part, const __nv_bfloat16* weight,
                       cudaStream_t stream);
  // The same for a linear, which may get it without its factors: where the ranks' sum does all of
  // it in one kernel.
  absl::StatusOr<LinearInput> SumNormForLinear(const kernels::awq::LinearOutput& part,
                                               const __nv_bfloat16* weight, cudaStream_t stream);
  absl::Status Attend(const DeviceStep& step, int layer, const kernels::awq::LinearOutput& qkv,
                      cudaStream_t stream);
  // SiLU(gate) * up of `rows` rows of x, into gated: by one kernel or, where its linear leaves
  // pieces or finished gates and ups, by two.
  absl::Status GateUp(const DeviceLinear& gate_up, const LinearInput& x, int rows,
                      cudaStream_t stream);
  // Its output is read before the next linear runs.
  absl::StatusOr<kernels::awq::LinearOutput> RunLinear(const DeviceLinear& linear,
                                                       const LinearInput& x, int rows,
                                                       kernels::dense::OutputType type,
                                                       cudaStream_t stream);
  absl::StatusOr<kernels::awq::LinearOutput> RunDense(const __nv_bfloat16* weight,
                                                      const DeviceLinear& shape,
                                                      const LinearInput& x, int rows,
                                                      kernels::dense::OutputType type,
                                                      cudaStream_t stream);
  absl::Status Done(const char* operation) const {
    return mark_ ? mark_(operation) : absl::OkStatus();
  }
  // x [rows][hidden]: normed tokens.
  absl::Status Head(const __nv_bfloat16* x, int rows, cudaStream_t stream);

  const Qwen3Config config_;
  const StepBounds bounds_;
  const int num_sms_;
  DeviceCommunicator& communicator_;
  const int num_q_heads_;  // of this rank
  const int num_kv_heads_;

  DeviceWeights weights_;
  Workspace workspace_;
  device::DeviceBuffer kv_memory_;
  kernels::attention::KvCache kv_;
  std::unique_ptr<kernels::dense::DenseLinear> dense_;
  Mark mark_;
};

}  // namespace sluice::worker
