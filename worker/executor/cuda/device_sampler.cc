// SPDX-License-Identifier: Apache-2.0
#include "worker/executor/cuda/device_sampler.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kernels/sampling/set_rows.h"
#include "proto/wire/status_macros.h"
#include "worker/device/cuda_status.h"

namespace sluice::worker {
namespace {

using device::ToStatus;
using kernels::sampling::LogitBias;
using kernels::sampling::LogitsView;
using kernels::sampling::Logprobs;
using kernels::sampling::RowInit;
using kernels::sampling::RowUpload;
using kernels::sampling::SampleStatus;

// Offsets of the sampler's arrays in its one allocation.
struct SamplerLayout {
  explicit SamplerLayout(const DeviceSamplerOptions& options) {
    const auto place = [this](size_t size) {
      const int64_t offset = bytes;
      bytes = (offset + static_cast<int64_t>(size) + 255) / 256 * 256;
      return offset;
    };
    const StepBounds& bounds = options.bounds;
    const auto logits = static_cast<size_t>(bounds.max_logits);
    const auto state = kernels::sampling::BytesOfSamplerState(bounds.max_rows, options.vocab_size);
    last_ids = place(state.last_ids);
    ids = place(logits * sizeof(int32_t));
    if (!options.samples) return;
    params = place(state.params);
    num_outputs = place(state.num_outputs);
    marks = place(state.marks);
    bias = place(state.bias);
    workspace =
        place(kernels::sampling::SamplerWorkspaceBytes(bounds.max_logits, options.vocab_size));
    status = place(logits * sizeof(SampleStatus));
    logprobs = place(logits * sizeof(Logprobs));
  }

  int64_t last_ids = 0, ids = 0, params = 0, num_outputs = 0, marks = 0, bias = 0, workspace = 0,
          status = 0, logprobs = 0;
  int64_t bytes = 0;
};

std::vector<LogitBias> BiasOf(const SamplingParams& params) {
  std::vector<LogitBias> bias;
  bias.reserve(params.logit_bias.size());
  for (const auto& [id, value] : params.logit_bias) bias.push_back({.id = id, .bias = value});
  return bias;
}

// What it returns points into sampling and bias.
RowInit InitOf(RowId row, const RowAdd::Sampling& sampling, std::span<const LogitBias> bias) {
  const SamplingParams& params = sampling.params;
  return {.row = row,
          .temperature = params.temperature,
          .top_k = params.top_k,
          .top_p = params.top_p,
          .min_p = params.min_p,
          .repetition_penalty = params.repetition_penalty,
          .presence_penalty = params.presence_penalty,
          .frequency_penalty = params.frequency_penalty,
          .logit_bias = bias,
          .allowed_ids = params.allowed_token_ids,
          .banned_ids = params.banned_token_ids,
          .stop_ids = sampling.stop_ids,
          .min_tokens = params.min_tokens,
          .seed = params.seed,
          .choice = sampling.choice,
          .logprobs = params.logprobs.value_or(-1),
          .prompt = sampling.prompt,
          .output = sampling.output,
          .num_outputs = static_cast<int64_t>(sampling.output.size())};
}

}  // namespace

int64_t DeviceSampler::DeviceBytes(const DeviceSamplerOptions& options) {
  return SamplerLayout(options).bytes;
}

absl::StatusOr<DeviceSampler> DeviceSampler::Create(const DeviceSamplerOptions& options,
                                                    cudaStream_t stream) {
  const SamplerLayout layout(options);
  DeviceSampler sampler;
  sampler.options_ = options;
  SLUICE_ASSIGN_OR_RETURN(sampler.memory_,
                          device::DeviceBuffer::Allocate(layout.bytes, "the sampler"));
  const device::DeviceBuffer& memory = sampler.memory_;
  sampler.state_.max_rows = options.bounds.max_rows;
  sampler.state_.vocab = options.vocab_size;
  sampler.state_.last_ids = memory.As<int32_t>(layout.last_ids);
  sampler.ids_ = memory.As<int32_t>(layout.ids);
  // Rows of a padded or warming step may name an id that nobody has sampled: any valid one will do.
  SLUICE_RETURN_IF_ERROR(ToStatus(
      cudaMemsetAsync(sampler.state_.last_ids, 0,
                      static_cast<size_t>(options.bounds.max_rows) * sizeof(int32_t), stream),
      "clearing the sampler"));
  if (!options.samples) return sampler;
  sampler.state_.params = memory.As<kernels::sampling::RowParams>(layout.params);
  sampler.state_.num_outputs = memory.As<int32_t>(layout.num_outputs);
  sampler.state_.marks = memory.As<uint32_t>(layout.marks);
  sampler.state_.bias = memory.As<float>(layout.bias);
  sampler.workspace_ = memory.As<void>(layout.workspace);
  sampler.status_ = memory.As<SampleStatus>(layout.status);
  sampler.logprobs_ = memory.As<Logprobs>(layout.logprobs);
  return sampler;
}

absl::Status DeviceSampler::SetRows(std::span<const RowAdd> added, Staging* staging,
                                    cudaStream_t stream) {
  const auto flush = [&]() -> absl::Status {
    if (upload_.num_rows() == 0) return absl::OkStatus();
    SLUICE_ASSIGN_OR_RETURN(const Staging::Place place,
                            staging->Reserve(static_cast<int64_t>(upload_.bytes()), stream));
    upload_.CopyTo(place.host);
    SLUICE_RETURN_IF_ERROR(Staging::Copy(place, stream));
    const kernels::sampling::SetRows set = {
        .upload = place.device, .num_rows = upload_.num_rows(), .state = state_};
    upload_.Clear();
    return ToStatus(kernels::sampling::RunSetRows(set, stream));
  };
  for (const RowAdd& add : added) {
    if (add.sampling == nullptr) {
      return absl::InternalError(
          absl::StrCat("row ", add.row, " came without sampling parameters"));
    }
    const std::vector<LogitBias> bias = BiasOf(add.sampling->params);
    const RowInit init = InitOf(add.row, *add.sampling, bias);
    const auto more = static_cast<int64_t>(upload_.bytes() + RowUpload::BytesOf(init));
    if (more > staging->capacity()) SLUICE_RETURN_IF_ERROR(flush());
    upload_.Add(init);
  }
  return flush();
}

absl::Status DeviceSampler::Sample(const LogitsView& logits, const StepBatch& batch,
                                   const RowTable& table, const LogitsPlaces& places,
                                   cudaStream_t stream) {
  bool any_random = false, any_broad = false, any_broad_cut = false;
  any_logprobs_ = false;
  for (const StepBatch::SampledRow& row : batch.sampled_rows) {
    const SamplingParams& params = table.row(row.row).sampling->params;
    if (params.temperature >= kernels::sampling::kGreedyBelow) {
      any_random = true;
      const bool broad = kernels::sampling::IsBroad(params.top_k);
      any_broad |= broad;
      any_broad_cut |= broad && (params.top_k > 0 || params.top_p < 1.0f);
    }
    any_logprobs_ |= params.logprobs.has_value();
  }
  return ToStatus(
      kernels::sampling::RunSample({.logits = logits,
                                    .state = state_,
                                    .num_token_ids = options_.num_token_ids,
                                    .rows = places.rows,
                                    .indices = places.indices,
                                    .drafts = places.drafts,
                                    .num_valid = nullptr,
                                    .num_logits = static_cast<int>(batch.logits_of.size()),
                                    .any_random = any_random,
                                    .any_broad = any_broad,
                                    .any_broad_cut = any_broad_cut,
                                    .any_logprobs = any_logprobs_,
                                    .processed_logprobs = options_.processed_logprobs,
                                    .num_sms = options_.num_sms,
                                    .workspace = workspace_,
                                    .ids = ids_,
                                    .status = status_,
                                    .logprobs = logprobs_},
                                   stream));
}

absl::Status DeviceSampler::TakeIds(int num_logits, const LogitsPlaces& places,
                                    cudaStream_t stream) {
  return ToStatus(kernels::sampling::RunTakeSamples({.ids = ids_,
                                                     .rows = places.rows,
                                                     .indices = places.indices,
                                                     .num_logits = num_logits,
                                                     .last_ids = state_.last_ids},
                                                    stream));
}

absl::Status DeviceSampler::ReportResults(int num_logits, const StepResults& to,
                                          cudaStream_t stream) {
  SLUICE_RETURN_IF_ERROR(ToStatus(kernels::sampling::RunReportSamples({.ids = ids_,
                                                                       .status = status_,
                                                                       .num_logits = num_logits,
                                                                       .host_ids = to.ids(),
                                                                       .host_status = to.status()},
                                                                      stream)));
  if (!options_.samples || !any_logprobs_) return absl::OkStatus();
  return ToStatus(
      cudaMemcpyAsync(to.logprobs(), logprobs_, static_cast<size_t>(num_logits) * sizeof(Logprobs),
                      cudaMemcpyDeviceToHost, stream),
      "copying a step's log probabilities");
}

absl::Status DeviceSampler::Score(const LogitsView& logits, std::span<const int32_t> chosen,
                                  std::span<const int32_t> top_k, Staging* staging, Logprobs* to,
                                  cudaStream_t stream) {
  const size_t rows = chosen.size();
  SLUICE_ASSIGN_OR_RETURN(
      const Staging::Place place,
      staging->Reserve(static_cast<int64_t>(2 * rows * sizeof(int32_t)), stream));
  auto* host = reinterpret_cast<int32_t*>(place.host);
  std::ranges::copy(chosen, host);
  std::ranges::copy(top_k, host + rows);
  SLUICE_RETURN_IF_ERROR(Staging::Copy(place, stream));
  const auto* device = reinterpret_cast<const int32_t*>(place.device);
  SLUICE_RETURN_IF_ERROR(
      ToStatus(kernels::sampling::RunScoreLogits({.logits = logits,
                                                  .num_token_ids = options_.num_token_ids,
                                                  .chosen = device,
                                                  .top_k = device + rows,
                                                  .num_valid = nullptr,
                                                  .num_logits = static_cast<int>(rows),
                                                  .num_sms = options_.num_sms,
                                                  .workspace = workspace_,
                                                  .out = logprobs_},
                                                 stream)));
  return ToStatus(
      cudaMemcpyAsync(to, logprobs_, rows * sizeof(Logprobs), cudaMemcpyDeviceToHost, stream),
      "copying the scores of a prompt");
}

}  // namespace sluice::worker
