// SPDX-License-Identifier: Apache-2.0
// DeviceSampler: sampling as a rank's executor sees it: the rows' state in device memory, and the
// launches that turn a step's logits into ids. Rank 0 samples and scores; the other ranks keep the
// ids that they are told. Used by the step thread.
#pragma once

#include <cstdint>
#include <span>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernels/sampling/logits_view.h"
#include "kernels/sampling/logprobs.h"
#include "kernels/sampling/row_upload.h"
#include "kernels/sampling/sample.h"
#include "kernels/sampling/sampler_state.h"
#include "worker/base/step_plan.h"
#include "worker/device/device_buffer.h"
#include "worker/executor/cuda/staging.h"
#include "worker/executor/cuda/step_results.h"
#include "worker/executor/cuda/workspace.h"
#include "worker/executor/row_table.h"

namespace sluice::worker {

struct DeviceSamplerOptions {
  StepBounds bounds;
  int vocab_size = 0;     // of all ranks
  int num_token_ids = 0;  // ids from here on are padding
  bool processed_logprobs = false;
  bool samples = false;  // this is rank 0
  int num_sms = 0;
};

// Where a step's logits belong, in device memory (StepLayout's arrays of the same names).
struct LogitsPlaces {
  const int32_t* rows = nullptr;
  const int32_t* indices = nullptr;
  const int32_t* drafts = nullptr;
};

class DeviceSampler {
 public:
  // Device memory that Create allocates.
  static int64_t DeviceBytes(const DeviceSamplerOptions& options);
  // stream: that of the steps.
  static absl::StatusOr<DeviceSampler> Create(const DeviceSamplerOptions& options,
                                              cudaStream_t stream);

  // [max_rows]: the id that each row sampled last.
  const int32_t* last_ids() const { return state_.last_ids; }
  // [max_logits]: what Sample leaves, and TakeIds reads. Rank 0's are broadcast in between.
  int32_t* ids() const { return ids_; }

  // Rank 0: rows begin. INTERNAL when one came without parameters.
  absl::Status SetRows(std::span<const RowAdd> added, Staging* staging, cudaStream_t stream);
  // Rank 0: samples after each logits row of the batch.
  absl::Status Sample(const kernels::sampling::LogitsView& logits, const StepBatch& batch,
                      const RowTable& table, const LogitsPlaces& places, cudaStream_t stream);
  // The other ranks.
  absl::Status TakeIds(int num_logits, const LogitsPlaces& places, cudaStream_t stream);
  // Hands what Sample or the broadcast left to the host.
  absl::Status ReportResults(int num_logits, const StepResults& to, cudaStream_t stream);

  // Rank 0: how likely the given ids were after `logits`, a row each; the results come to `to` on
  // the host. chosen, top_k: [number of rows of logits], at most max_logits.
  absl::Status Score(const kernels::sampling::LogitsView& logits, std::span<const int32_t> chosen,
                     std::span<const int32_t> top_k, Staging* staging,
                     kernels::sampling::Logprobs* to, cudaStream_t stream);

 private:
  DeviceSamplerOptions options_;
  device::DeviceBuffer memory_;  // what the pointers below point into
  kernels::sampling::SamplerState state_;
  void* workspace_ = nullptr;
  int32_t* ids_ = nullptr;                             // [max_logits]
  kernels::sampling::SampleStatus* status_ = nullptr;  // [max_logits]
  kernels::sampling::Logprobs* logprobs_ = nullptr;    // [max_logits]
  bool any_logprobs_ = false;                          // of the last Sample
  kernels::sampling::RowUpload upload_;
};

}  // namespace sluice::worker
