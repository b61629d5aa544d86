// SPDX-License-Identifier: Apache-2.0
#include "worker/executor/cpu/cpu_executor.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kernels/cpu/attention.h"
#include "kernels/cpu/thread_pool.h"
#include "proto/wire/status_macros.h"
#include "worker/executor/cpu/prompt_scorer.h"
#include "worker/executor/cpu/row_outputs.h"
#include "worker/executor/cpu/row_sampler.h"
#include "worker/executor/cpu/timed_communicator.h"
#include "worker/executor/row_table.h"
#include "worker/model/kv_cache.h"
#include "worker/model/qwen3_model.h"

namespace sluice::worker {
namespace {

constexpr TokenId kNoToken = -1;

int NumThreads(int requested, int world_size) {
  if (requested > 0) return requested;
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()) / world_size);
}

absl::Status CheckOptions(const ModelFolder& folder, const CpuExecutorOptions& options,
                          const Communicator& communicator) {
  if (communicator.world_size() != folder.tp_size()) {
    return absl::InternalError(absl::StrCat("the group has ", communicator.world_size(),
                                            " ranks, but the model was opened for ",
                                            folder.tp_size()));
  }
  if (options.num_pages < 2 || options.max_rows < 1 || options.max_batched_tokens < 1) {
    return absl::InvalidArgumentError(absl::StrCat(
        "an executor needs at least 2 pages, 1 row and 1 token a step, not ", options.num_pages,
        ", ", options.max_rows, " and ", options.max_batched_tokens));
  }
  if (options.num_token_ids < 0 || options.num_token_ids > folder.config().vocab_size) {
    return absl::InvalidArgumentError(absl::StrCat("the tokenizer has ", options.num_token_ids,
                                                   " ids, more than config.json's vocab_size ",
                                                   folder.config().vocab_size));
  }
  return absl::OkStatus();
}

int NumTokenIds(const ModelFolder& folder, const CpuExecutorOptions& options) {
  return options.num_token_ids > 0 ? options.num_token_ids : folder.config().vocab_size;
}

RowTableLimits LimitsOf(const Qwen3Config& config, const CpuExecutorOptions& options) {
  return {.max_rows = options.max_rows,
          .num_pages = options.num_pages,
          .max_batched_tokens = options.max_batched_tokens,
          .vocab_size = config.vocab_size};
}

}  // namespace

class CpuExecutor::Impl {
 public:
  Impl(const ModelFolder& folder, const CpuExecutorOptions& options, Communicator* communicator)
      : vocab_size_(folder.config().vocab_size),
        pool_(NumThreads(options.threads, communicator->world_size())),
        communicator_(communicator),
        rows_(LimitsOf(folder.config(), options)),
        outputs_(options.max_rows),
        sampler_(vocab_size_, NumTokenIds(folder, options), options.processed_logprobs, &pool_),
        scorer_(vocab_size_, NumTokenIds(folder, options), communicator->rank() == 0, &pool_) {}

  ~Impl() {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      stopping_ = true;
    }
    changed_.notify_all();
    if (thread_.joinable()) thread_.join();
  }

  absl::Status Load(const ModelFolder& folder, const CpuExecutorOptions& options) {
    SLUICE_ASSIGN_OR_RETURN(model_,
                            Qwen3Model::Load(folder, &communicator_, &pool_, options.on_progress));
    SLUICE_ASSIGN_OR_RETURN(cache_,
                            KvCache::Create(folder.config(), folder.tp_size(), options.num_pages));
    thread_ = std::thread([this] { Loop(); });
    return absl::OkStatus();
  }

  int num_pages() const { return cache_->num_pages(); }

  absl::Status Submit(StepPlan plan) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (!failure_.ok()) return failure_;
      pending_.push_back(std::move(plan));
    }
    changed_.notify_all();
    return absl::OkStatus();
  }

  absl::StatusOr<StepResult> Collect(StepId step) {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [&] { return done_.contains(step) || !failure_.ok(); });
    const auto found = done_.find(step);
    if (found == done_.end()) return failure_;
    StepResult result = std::move(found->second);
    done_.erase(found);
    return result;
  }

 private:
  void Loop();
  absl::StatusOr<StepResult> Run(const StepPlan& plan);
  // The parts of batch_ that only this executor knows: ids sampled last, and places_.
  void CompleteBatch();
  // Fills result->samples on rank 0 and tells every rank the ids, and with them how many drafts of
  // each row were accepted.
  absl::Status SampleAndShare(StepResult* result);
  // The row's part of sampled_ids_.
  std::span<TokenId> SampledIdsOf(const StepBatch::SampledRow& row) {
    return std::span(sampled_ids_)
        .subspan(static_cast<size_t>(row.first_logits), static_cast<size_t>(row.num_logits()));
  }

  const int vocab_size_;
  kernels::cpu::ThreadPool pool_;
  TimedCommunicator communicator_;
  std::unique_ptr<Qwen3Model> model_;
  std::unique_ptr<KvCache> cache_;

  // Of the step thread.
  RowTable rows_;
  RowOutputs outputs_;
  RowSampler sampler_;
  PromptScorer scorer_;
  StepBatch batch_;
  std::vector<kernels::cpu::TokenPlace> places_;  // of batch_; point into the rows' page tables
  std::vector<float> logits_;                     // rank 0: [logits_of][vocab]
  std::vector<TokenId> sampled_ids_;  // [logits_of]; kNoToken where a draft was rejected

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<StepPlan> pending_;       // guarded by mutex_
  std::map<StepId, StepResult> done_;  // guarded by mutex_
  absl::Status failure_;               // guarded by mutex_; final once it is set
  bool stopping_ = false;              // guarded by mutex_

  std::thread thread_;
};

void CpuExecutor::Impl::Loop() {
  while (true) {
    StepPlan plan;
    {
      std::unique_lock<std::mutex> lock(mutex_);
      changed_.wait(lock, [&] { return stopping_ || !pending_.empty(); });
      if (stopping_) return;
      plan = std::move(pending_.front());
      pending_.pop_front();
    }
    absl::StatusOr<StepResult> result = Run(plan);
    const bool failed = !result.ok();
    // The peers wait in a collective that this rank will never enter.
    if (failed) communicator_.Abort();
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (failed) {
        failure_ = result.status();
      } else {
        done_.emplace(plan.step, *std::move(result));
      }
    }
    changed_.notify_all();
    if (failed) return;
  }
}

absl::StatusOr<StepResult> CpuExecutor::Impl::Run(const StepPlan& plan) {
  const auto start = std::chrono::steady_clock::now();
  communicator_.TakeElapsed();
  SLUICE_RETURN_IF_ERROR(rows_.Apply(plan, &batch_));
  outputs_.Apply(plan);
  CompleteBatch();
  for (const PageCopy& copy : plan.page_copies) cache_->CopyPage(copy.from, copy.to);
  const size_t num_logits =
      communicator_.rank() == 0 ? batch_.logits_of.size() * static_cast<size_t>(vocab_size_) : 0;
  if (logits_.size() < num_logits) logits_.resize(num_logits);
  SLUICE_RETURN_IF_ERROR(model_->Forward({.ids = batch_.ids,
                                          .positions = batch_.positions,
                                          .places = places_,
                                          .logits_of = batch_.logits_of},
                                         *cache_, std::span(logits_).first(num_logits)));
  StepResult result;
  result.step = plan.step;
  SLUICE_RETURN_IF_ERROR(SampleAndShare(&result));
  SLUICE_RETURN_IF_ERROR(scorer_.Score(batch_, rows_, model_.get(), &result.prompt_logprobs));
  result.duration = std::chrono::steady_clock::now() - start;
  result.collective_duration = communicator_.TakeElapsed();
  return result;
}

void CpuExecutor::Impl::CompleteBatch() {
  places_.clear();
  for (const StepBatch::Run& run : batch_.runs) {
    const PageId* pages = rows_.row(run.row).pages.data();
    TokenId& first = batch_.ids[static_cast<size_t>(run.first_token)];
    if (first == kSampledLast) first = outputs_.row(run.row).last_sampled;
    for (int32_t i = 0; i < run.num_tokens; ++i) {
      places_.push_back({.page_table = pages, .position = run.position + i});
    }
  }
}

absl::Status CpuExecutor::Impl::SampleAndShare(StepResult* result) {
  const std::vector<StepBatch::SampledRow>& rows = batch_.sampled_rows;
  const bool samples_here = communicator_.rank() == 0;
  sampled_ids_.assign(batch_.logits_of.size(), kNoToken);
  if (samples_here) {
    SLUICE_RETURN_IF_ERROR(sampler_.Sample(logits_, batch_, &outputs_, &result->samples));
    for (size_t i = 0; i < rows.size(); ++i) {
      const std::span<TokenId> ids = SampledIdsOf(rows[i]);
      const std::vector<SampledToken>& tokens = result->samples[i].tokens;
      for (size_t k = 0; k < tokens.size(); ++k) ids[k] = tokens[k].id;
      // A failed row goes on with the id 0 until the engine releases it: any valid id will do.
      if (!result->samples[i].bad_logits) continue;
      ids[tokens.size()] = 0;
      outputs_.Append(rows[i].row, 0);
    }
  }
  SLUICE_RETURN_IF_ERROR(communicator_.Broadcast(std::as_writable_bytes(std::span(sampled_ids_))));
  for (const StepBatch::SampledRow& row : rows) {
    int num_kept = 0;
    for (const TokenId id : SampledIdsOf(row)) {
      if (id == kNoToken) break;
      if (!samples_here) outputs_.Append(row.row, id);
      ++num_kept;
    }
    rows_.AcceptDrafts(row.row, num_kept - 1);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<CpuExecutor>> CpuExecutor::Create(const ModelFolder& folder,
                                                                 CpuExecutorOptions options,
                                                                 Communicator* communicator) {
  SLUICE_RETURN_IF_ERROR(CheckOptions(folder, options, *communicator));
  auto impl = std::make_unique<Impl>(folder, options, communicator);
  SLUICE_RETURN_IF_ERROR(impl->Load(folder, options));
  return std::unique_ptr<CpuExecutor>(new CpuExecutor(std::move(impl)));
}

CpuExecutor::CpuExecutor(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
CpuExecutor::~CpuExecutor() = default;

int CpuExecutor::num_pages() const { return impl_->num_pages(); }
absl::Status CpuExecutor::Submit(StepPlan plan) { return impl_->Submit(std::move(plan)); }
absl::StatusOr<StepResult> CpuExecutor::Collect(StepId step) { return impl_->Collect(step); }

}  // namespace sluice::worker
