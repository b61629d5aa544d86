// SPDX-License-Identifier: Apache-2.0
#include "worker/executor/cuda/cuda_executor.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kernels/awq/linear_path.h"
#include "kernels/dense/dense_linear.h"
#include "proto/wire/status_macros.h"
#include "worker/device/cuda_status.h"
#include "worker/device/current_device.h"
#include "worker/device/stream.h"
#include "worker/executor/cuda/cuda_model.h"
#include "worker/executor/cuda/decode_graphs.h"
#include "worker/executor/cuda/device_sampler.h"
#include "worker/executor/cuda/device_weights.h"
#include "worker/executor/cuda/memory_plan.h"
#include "worker/executor/cuda/staging.h"
#include "worker/executor/cuda/step_input.h"
#include "worker/executor/cuda/step_results.h"
#include "worker/executor/cuda/weight_loader.h"
#include "worker/executor/cuda/workspace.h"
#include "worker/executor/row_table.h"

namespace sluice::worker {
namespace {

using device::ToStatus;

// Submit's contract: at most two steps are in flight.
constexpr size_t kStepsInFlight = 2;
// Prompt tokens whose logits are computed at once for scoring, at most.
constexpr int kScoredAtOnce = 64;
// Enough for the path that linears of the most rows take.
constexpr int kWarmingTokens = kernels::awq::kMaxMediumRows + 1;
static_assert(kernels::awq::ChooseLinearPath(kWarmingTokens) == kernels::awq::LinearPath::kDense);
// What captured graphs and lazily loaded kernels take beside everything that is counted.
constexpr int64_t kGraphBytes = int64_t{512} << 20;

StepBounds BoundsOf(const CudaExecutorOptions& options) {
  return {.max_tokens = options.max_batched_tokens,
          .max_rows = options.max_rows,
          .max_logits = std::max({options.max_logits, options.max_rows, kScoredAtOnce}),
          .max_pages_per_row = (options.max_model_len + kPageTokens - 1) / kPageTokens};
}

// Enough for the parameters of one row, whatever they are: lists are no longer than the vocabulary
// (request_validation.h), biases have two, prompt and output fit the context; and for many ordinary
// rows and page tables.
int64_t StagingBytes(const Qwen3Config& config, const CudaExecutorOptions& options) {
  const int64_t row = 4 * (5 * int64_t{config.vocab_size} + 2 * int64_t{options.max_model_len});
  return row + (int64_t{1} << 20);
}

// Everything about a rank that is known before memory is allocated.
struct RankPlan {
  StepBounds bounds;
  int num_sms = 0;
  WeightLayout weights;
  WorkspaceLayout workspace;
  DeviceSamplerOptions sampler;
  MemoryDemand demand;
};

absl::StatusOr<RankPlan> PlanRank(const ModelFolder& folder, const CudaExecutorOptions& options,
                                  int rank) {
  const Qwen3Config& config = folder.config();
  if (options.max_rows < 1 || options.max_batched_tokens < 1 || options.max_model_len < 1) {
    return absl::InvalidArgumentError(absl::StrCat(
        "an executor needs at least 1 row, 1 token a step and 1 of context, not ", options.max_rows,
        ", ", options.max_batched_tokens, " and ", options.max_model_len));
  }
  if (options.num_token_ids < 0 || options.num_token_ids > config.vocab_size) {
    return absl::InvalidArgumentError(absl::StrCat("the tokenizer has ", options.num_token_ids,
                                                   " ids, more than config.json's vocab_size ",
                                                   config.vocab_size));
  }
  SLUICE_RETURN_IF_ERROR(device::SetDevice(options.device_index));
  // Whether it is there at all: now, rather than once the weights have been loaded; and what it
  // takes of the device is in use when memory is planned.
  if (const auto opened = kernels::dense::DenseLinear::Open({}); opened.linear == nullptr) {
    return absl::FailedPreconditionError(opened.error);
  }
  RankPlan plan;
  plan.bounds = BoundsOf(options);
  SLUICE_ASSIGN_OR_RETURN(plan.num_sms, device::NumMultiprocessors(options.device_index));
  SLUICE_ASSIGN_OR_RETURN(plan.weights,
                          LayOutWeights(config, folder.tp_size(), folder.checkpoint().get()));
  plan.workspace =
      LayOutWorkspace(config, plan.weights, plan.bounds, rank, folder.tp_size(), plan.num_sms);
  plan.sampler = {
      .bounds = plan.bounds,
      .vocab_size = config.vocab_size,
      .num_token_ids = options.num_token_ids > 0 ? options.num_token_ids : config.vocab_size,
      .processed_logprobs = options.processed_logprobs,
      .samples = rank == 0,
      .num_sms = plan.num_sms};
  SLUICE_ASSIGN_OR_RETURN(const device::DeviceMemory memory, device::QueryMemory());
  plan.demand = {.total_bytes = memory.total_bytes,
                 .free_bytes = memory.free_bytes,
                 .utilization = options.gpu_memory_utilization,
                 .kv_cache_bytes = options.kv_cache_bytes,
                 .weight_bytes = plan.weights.bytes,
                 .workspace = plan.workspace.sizes,
                 .page_bytes = KvPageBytes(config, folder.tp_size()),
                 .max_model_len = options.max_model_len};
  plan.demand.workspace.sampler +=
      DeviceSampler::DeviceBytes(plan.sampler) + StagingBytes(config, options);
  plan.demand.workspace.graphs = kGraphBytes;
  return plan;
}

absl::StatusOr<std::chrono::nanoseconds> Between(const device::Event& first,
                                                 const device::Event& second) {
  SLUICE_ASSIGN_OR_RETURN(const float milliseconds, second.MillisecondsSince(first));
  return std::chrono::nanoseconds(static_cast<int64_t>(double{milliseconds} * 1e6));
}

RowTableLimits LimitsOf(const Qwen3Config& config, const StepBounds& bounds, int num_pages) {
  return {.max_rows = bounds.max_rows,
          .num_pages = num_pages,
          .max_batched_tokens = bounds.max_tokens,
          .vocab_size = config.vocab_size};
}

}  // namespace

class CudaExecutor::Impl {
 public:
  Impl(const RankPlan& plan, const CudaExecutorOptions& options, const Qwen3Config& config,
       int num_pages, DeviceCommunicator* communicator)
      : bounds_(plan.bounds),
        device_index_(options.device_index),
        num_pages_(num_pages),
        communicator_(*communicator),
        rows_(LimitsOf(config, plan.bounds, num_pages)) {}
  ~Impl() { device::SetDevice(device_index_).IgnoreError(); }  // which the members are freed on

  absl::Status Load(const ModelFolder& folder, const CudaExecutorOptions& options,
                    const RankPlan& plan);
  absl::Status Submit(StepPlan plan);
  absl::StatusOr<StepResult> Collect(StepId step);
  int num_pages() const { return num_pages_; }

 private:
  // One step in flight.
  struct Slot {
    bool busy = false;
    StepId step = 0;
    StepBatch batch;
    // Beside batch.sampled_rows; a later plan may have released the rows when it is needed.
    std::vector<char> wants_logprobs;
    device::PinnedBuffer input;  // StepInput
    Staging staging;
    StepResults results;
  };

  // When a step began and ended on the device. Kept longer than its slot, since the next step's
  // idle time counts from this one's end.
  struct Times {
    StepId step = -1;  // none yet
    device::Event begun, done;
  };

  bool samples() const { return communicator_.rank() == 0; }
  Slot& SlotOf(StepId step) { return slots_[static_cast<size_t>(step) % kStepsInFlight]; }
  Times& TimesOf(StepId step) { return times_[static_cast<size_t>(step) % times_.size()]; }
  absl::Status CheckPlan(const StepPlan& plan) const;
  absl::Status Enqueue(const StepPlan& plan, Slot* slot);
  // The plan's changes of rows, page tables and pages.
  absl::Status ApplyChanges(const StepPlan& plan, Slot* slot);
  // Returns the shape in which the input lies on the device.
  absl::StatusOr<StepShape> Forward(const StepInput& input, Slot* slot);
  absl::Status SampleAndShare(const StepShape& shape, Slot* slot);
  absl::Status Score(const StepInput& input, Slot* slot);
  // Nothing can be trusted from now on, and the peers wait in a collective that this rank will
  // never enter.
  absl::Status Fail(absl::Status status);

  const StepBounds bounds_;
  const int device_index_;
  const int num_pages_;
  DeviceCommunicator& communicator_;
  RowTable rows_;

  device::Stream stream_;
  device::DeviceBuffer input_;   // StepInput of the step that runs; where graphs read it
  device::DeviceBuffer staged_;  // Staging's
  std::unique_ptr<CudaModel> model_;
  DeviceSampler sampler_;
  std::array<Slot, kStepsInFlight> slots_;
  std::array<Times, 2 * kStepsInFlight> times_;
  // Last, so that it goes first: graphs hold addresses and collectives.
  DecodeGraphs graphs_;

  std::mutex mutex_;      // held by Submit, and by Collect but while it waits; guards what both use
  absl::Status failure_;  // final once it is set
};

absl::Status CudaExecutor::Impl::Load(const ModelFolder& folder, const CudaExecutorOptions& options,
                                      const RankPlan& plan) {
  WeightLoaderOptions loader;
  loader.device_index = device_index_;
  loader.rank = communicator_.rank();
  loader.on_progress = options.on_progress;
  SLUICE_ASSIGN_OR_RETURN(DeviceWeights weights, LoadWeights(folder, loader));
  SLUICE_ASSIGN_OR_RETURN(
      model_, CudaModel::Create(folder.config(), std::move(weights), plan.workspace, bounds_,
                                num_pages_, plan.num_sms, &communicator_));
  SLUICE_ASSIGN_OR_RETURN(stream_, device::Stream::Create());
  SLUICE_ASSIGN_OR_RETURN(sampler_, DeviceSampler::Create(plan.sampler, stream_.get()));

  // Every array of a step at its longest; tiles may be as many as tokens, in pairs.
  const int64_t input_bytes = StepLayout({.tokens = bounds_.max_tokens,
                                          .decodes = bounds_.max_tokens,
                                          .tiles = bounds_.max_tokens,
                                          .logits = bounds_.max_logits})
                                  .bytes;
  SLUICE_ASSIGN_OR_RETURN(input_, device::DeviceBuffer::Allocate(input_bytes, "a step's input"));
  SLUICE_ASSIGN_OR_RETURN(staged_, device::DeviceBuffer::Allocate(
                                       StagingBytes(folder.config(), options), "a step's lists"));
  for (Slot& slot : slots_) {
    SLUICE_ASSIGN_OR_RETURN(slot.input,
                            device::PinnedBuffer::Allocate(input_bytes, "a step's input"));
    SLUICE_ASSIGN_OR_RETURN(slot.staging, Staging::Create(&staged_));
    SLUICE_ASSIGN_OR_RETURN(slot.results, StepResults::Create(bounds_));
  }
  for (Times& times : times_) {
    SLUICE_ASSIGN_OR_RETURN(times.begun, device::Event::Create(device::Event::Timing::kOn));
    SLUICE_ASSIGN_OR_RETURN(times.done, device::Event::Create(device::Event::Timing::kOn));
  }

  // An input of nothing but padding: id 0 at position 0 into the scratch page, rows of no length.
  SLUICE_RETURN_IF_ERROR(
      ToStatus(cudaMemsetAsync(input_.data(), 0, static_cast<size_t>(input_bytes), stream_.get()),
               "clearing a step's input"));
  const auto forward = [&](const StepShape& shape) {
    return model_->Forward({.shape = shape,
                            .input = input_.As<std::byte>(),
                            .last_ids = sampler_.last_ids(),
                            .all_logits = true},
                           stream_.get());
  };
  SLUICE_RETURN_IF_ERROR(
      graphs_.Capture(std::min(bounds_.max_rows, bounds_.max_tokens), stream_.get(), forward));
  // A long step once, so that the first long prompt does not pay for kernels that load lazily.
  StepShape long_step;
  long_step.tokens = std::min(bounds_.max_tokens, kWarmingTokens);
  SLUICE_RETURN_IF_ERROR(forward(long_step));
  return stream_.Synchronize();
}

absl::Status CudaExecutor::Impl::Fail(absl::Status status) {
  if (failure_.ok()) {
    failure_ = std::move(status);
    communicator_.Abort();
  }
  return failure_;
}

absl::Status CudaExecutor::Impl::Submit(StepPlan plan) {
  const std::lock_guard lock(mutex_);
  if (!failure_.ok()) return failure_;
  Slot& slot = SlotOf(plan.step);
  if (slot.busy) {
    return Fail(absl::InternalError(
        absl::StrCat("step ", plan.step, " came with ", kStepsInFlight, " steps in flight")));
  }
  absl::Status status = device::SetDevice(device_index_);
  if (status.ok()) status = Enqueue(plan, &slot);
  return status.ok() ? status : Fail(std::move(status));
}

absl::Status CudaExecutor::Impl::CheckPlan(const StepPlan& plan) const {
  for (const PagesAppend& append : plan.pages) {
    const size_t pages = rows_.row(append.row).pages.size();
    if (pages > static_cast<size_t>(bounds_.max_pages_per_row)) {
      return absl::InternalError(absl::StrCat("row ", append.row, " has ", pages,
                                              " pages, more than the context's ",
                                              bounds_.max_pages_per_row));
    }
  }
  return absl::OkStatus();
}

absl::Status CudaExecutor::Impl::Enqueue(const StepPlan& plan, Slot* slot) {
  slot->step = plan.step;
  slot->staging.Reset();
  SLUICE_RETURN_IF_ERROR(rows_.Apply(plan, &slot->batch));
  SLUICE_RETURN_IF_ERROR(CheckPlan(plan));
  const StepInput input(slot->batch, rows_);
  if (input.shape().logits > bounds_.max_logits) {
    return absl::InternalError(absl::StrCat("a step samples after ", input.shape().logits,
                                            " tokens, more than ", bounds_.max_logits));
  }
  Times& times = TimesOf(plan.step);
  times.step = plan.step;
  SLUICE_RETURN_IF_ERROR(times.begun.Record(stream_.get()));
  SLUICE_RETURN_IF_ERROR(ApplyChanges(plan, slot));
  SLUICE_ASSIGN_OR_RETURN(const StepShape shape, Forward(input, slot));
  if (input.shape().logits > 0) SLUICE_RETURN_IF_ERROR(SampleAndShare(shape, slot));
  SLUICE_RETURN_IF_ERROR(Score(input, slot));
  SLUICE_RETURN_IF_ERROR(times.done.Record(stream_.get()));
  slot->busy = true;
  return absl::OkStatus();
}

absl::Status CudaExecutor::Impl::ApplyChanges(const StepPlan& plan, Slot* slot) {
  const std::vector<kernels::attention::PageTableEntry> entries = PageTableEntries(plan, rows_);
  SLUICE_RETURN_IF_ERROR(slot->staging.CopyArray<kernels::attention::PageTableEntry>(
      entries, stream_.get(), [&](const auto* device, int count) {
        return model_->WritePageTables(device, count, stream_.get());
      }));
  std::vector<kernels::attention::PageCopy> copies;
  copies.reserve(plan.page_copies.size());
  for (const PageCopy& copy : plan.page_copies) copies.push_back({copy.from, copy.to});
  SLUICE_RETURN_IF_ERROR(slot->staging.CopyArray<kernels::attention::PageCopy>(
      copies, stream_.get(), [&](const auto* device, int count) {
        return model_->CopyPages(device, count, stream_.get());
      }));
  if (!samples()) return absl::OkStatus();
  return sampler_.SetRows(plan.added, &slot->staging, stream_.get());
}

absl::StatusOr<StepShape> CudaExecutor::Impl::Forward(const StepInput& input, Slot* slot) {
  const int size = input.only_decodes() ? graphs_.SizeFor(input.shape().tokens) : 0;
  const bool captured = size > 0;
  const StepShape shape = captured ? DecodeGraphs::ShapeOf(size) : input.shape();
  input.Pack(shape, slot->input.As<std::byte>());
  SLUICE_RETURN_IF_ERROR(ToStatus(cudaMemcpyAsync(input_.data(), slot->input.data(),
                                                  static_cast<size_t>(StepLayout(shape).bytes),
                                                  cudaMemcpyHostToDevice, stream_.get()),
                                  "copying a step's input"));
  absl::Status status = captured ? graphs_.Launch(size, stream_.get())
                                 : model_->Forward({.shape = shape,
                                                    .input = input_.As<std::byte>(),
                                                    .last_ids = sampler_.last_ids(),
                                                    .all_logits = input.only_decodes()},
                                                   stream_.get());
  if (!status.ok()) return status;
  return shape;
}

absl::Status CudaExecutor::Impl::SampleAndShare(const StepShape& shape, Slot* slot) {
  const StepLayout layout(shape);
  const LogitsPlaces places = {.rows = input_.As<int32_t>(layout.logits_rows),
                               .indices = input_.As<int32_t>(layout.run_indices),
                               .drafts = input_.As<int32_t>(layout.next_drafts)};
  const auto num_logits = static_cast<int>(slot->batch.logits_of.size());
  if (samples()) {
    slot->wants_logprobs.clear();
    for (const StepBatch::SampledRow& row : slot->batch.sampled_rows) {
      const auto& sampling = rows_.row(row.row).sampling;
      slot->wants_logprobs.push_back(sampling->params.logprobs.has_value() ? 1 : 0);
    }
    // The forward pass has left logits for the padding too.
    SLUICE_RETURN_IF_ERROR(
        sampler_.Sample(model_->Logits(shape.logits), slot->batch, rows_, places, stream_.get()));
  }
  SLUICE_RETURN_IF_ERROR(communicator_.Broadcast(
      sampler_.ids(), num_logits * static_cast<int64_t>(sizeof(int32_t)), stream_.get()));
  if (!samples()) {
    SLUICE_RETURN_IF_ERROR(sampler_.TakeIds(num_logits, places, stream_.get()));
  }
  return sampler_.ReportResults(num_logits, slot->results, stream_.get());
}

absl::Status CudaExecutor::Impl::Score(const StepInput& input, Slot* slot) {
  kernels::sampling::Logprobs* to = slot->results.scores();
  std::vector<int32_t> chosen;
  for (size_t run = 0; run < input.scored().size(); ++run) {
    const ScoredTokens& tokens = input.scored()[run];
    const StepBatch::Scored& scored = slot->batch.scored[run];
    const auto& sampling = rows_.row(scored.row).sampling;
    const size_t next = static_cast<size_t>(scored.position) + 1;
    if (samples() && (sampling == nullptr ||
                      sampling->prompt.size() < next + static_cast<size_t>(tokens.num_tokens))) {
      return absl::InternalError(absl::StrCat("row ", scored.row, " is scored beyond its prompt"));
    }
    for (int32_t done = 0; done < tokens.num_tokens; done += kScoredAtOnce) {
      const int count = std::min(kScoredAtOnce, tokens.num_tokens - done);
      SLUICE_RETURN_IF_ERROR(model_->ScoreTokens(tokens.first_token + done, count, stream_.get()));
      if (!samples()) continue;
      const auto first = sampling->prompt.begin() + static_cast<int64_t>(next) + done;
      chosen.assign(first, first + count);
      const std::vector<int32_t> top_k(chosen.size(),
                                       std::clamp(sampling->params.prompt_logprobs.value_or(0), 0,
                                                  kernels::sampling::kMaxTopLogprobs));
      SLUICE_RETURN_IF_ERROR(
          sampler_.Score(model_->Logits(count), chosen, top_k, &slot->staging, to, stream_.get()));
      to += count;
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<StepResult> CudaExecutor::Impl::Collect(StepId step) {
  std::unique_lock lock(mutex_);
  if (!failure_.ok()) return failure_;
  Slot& slot = SlotOf(step);
  if (!slot.busy || slot.step != step) {
    return Fail(absl::InternalError(absl::StrCat("step ", step, " was not submitted")));
  }
  SLUICE_RETURN_IF_ERROR(device::SetDevice(device_index_));
  const Times& times = TimesOf(step);
  lock.unlock();
  absl::Status status = times.done.Synchronize();
  lock.lock();
  if (status.ok()) status = communicator_.Check();
  if (!status.ok()) return Fail(std::move(status));
  slot.busy = false;

  StepResult result;
  result.step = step;
  for (const StepBatch::SampledRow& row : slot.batch.sampled_rows) {
    rows_.AcceptDrafts(row.row, slot.results.NumAccepted(row));
  }
  if (samples()) {
    result.samples = slot.results.Samples(slot.batch, slot.wants_logprobs);
    result.prompt_logprobs = slot.results.Scores(slot.batch);
  }
  SLUICE_ASSIGN_OR_RETURN(result.duration, Between(times.begun, times.done));
  const Times& before = TimesOf(step - 1);
  if (before.step == step - 1) {
    SLUICE_ASSIGN_OR_RETURN(result.idle_duration, Between(before.done, times.begun));
  }
  return result;
}

absl::StatusOr<std::unique_ptr<CudaExecutor>> CudaExecutor::Create(
    const ModelFolder& folder, const CudaExecutorOptions& options,
    DeviceCommunicator* communicator) {
  if (communicator->world_size() != folder.tp_size()) {
    return absl::InternalError(absl::StrCat("the group has ", communicator->world_size(),
                                            " ranks, but the model was opened for ",
                                            folder.tp_size()));
  }
  // First, so that what the collectives allocate is in use when memory is planned.
  SLUICE_RETURN_IF_ERROR(communicator->WaitReady());
  SLUICE_ASSIGN_OR_RETURN(const RankPlan plan, PlanRank(folder, options, communicator->rank()));
  int num_pages = options.num_pages;
  if (num_pages == 0) {
    SLUICE_ASSIGN_OR_RETURN(const MemoryPlan memory, PlanMemory(plan.demand));
    num_pages = memory.num_pages;
  }
  auto impl = std::make_unique<Impl>(plan, options, folder.config(), num_pages, communicator);
  const absl::Status loaded = impl->Load(folder, options, plan);
  // Steps that warm up may wait for peers, who do not hear of this; freeing memory waits for steps.
  if (!loaded.ok()) communicator->Abort();
  if (absl::IsResourceExhausted(loaded)) {
    return absl::ResourceExhaustedError(
        absl::StrCat(loaded.message(),
                     "; the plan had room for it, so something else has taken memory since, or "
                     "--gpu-memory-utilization ",
                     options.gpu_memory_utilization, " is too high"));
  }
  SLUICE_RETURN_IF_ERROR(loaded);
  return std::unique_ptr<CudaExecutor>(new CudaExecutor(std::move(impl)));
}

absl::StatusOr<std::string> CudaExecutor::DescribeMemory(const ModelFolder& folder,
                                                         const CudaExecutorOptions& options) {
  SLUICE_ASSIGN_OR_RETURN(const RankPlan plan, PlanRank(folder, options, /*rank=*/0));
  SLUICE_ASSIGN_OR_RETURN(const MemoryPlan memory, PlanMemory(plan.demand));
  return memory.Describe(plan.demand);
}

CudaExecutor::CudaExecutor(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
CudaExecutor::~CudaExecutor() = default;

absl::Status CudaExecutor::Submit(StepPlan plan) { return impl_->Submit(std::move(plan)); }
absl::StatusOr<StepResult> CudaExecutor::Collect(StepId step) { return impl_->Collect(step); }
int CudaExecutor::num_pages() const { return impl_->num_pages(); }

}  // namespace sluice::worker
