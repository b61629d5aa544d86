// SPDX-License-Identifier: Apache-2.0
#include "gateway/session/running_session.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "gateway/openai/error.h"

namespace sluice::gateway {
namespace {

// The worker names its own fields; these are the client's too.
absl::Status NameClientsField(absl::Status status) {
  absl::string_view message = status.message();
  const bool of_sampling = absl::ConsumePrefix(&message, "sampling.");
  const absl::string_view field = message.substr(0, message.find(':'));
  if (!absl::IsInvalidArgument(status) || !(of_sampling || field == "n")) return status;
  return WithParam(absl::InvalidArgumentError(message),
                   std::string_view(field.data(), field.size()));
}

}  // namespace

class RunningSession::CallObserver final : public TokenObserver {
 public:
  CallObserver(std::shared_ptr<RunningSession> session, size_t call)
      : session_(std::move(session)), call_(call) {}

  void OnChunk(TokenChunk chunk) override { session_->OnChunk(call_, std::move(chunk)); }
  void OnDone(absl::Status status) override { session_->OnDone(call_, std::move(status)); }

 private:
  const std::shared_ptr<RunningSession> session_;
  const size_t call_;
};

RunningSession::RunningSession(std::vector<GenerateRequest> requests,
                               std::vector<ChoiceStreamOptions> choice_options,
                               std::shared_ptr<DeltaSink> sink)
    : num_choices_per_call_(requests.front().n),
      sink_(std::move(sink)),
      requests_(std::move(requests)),
      calls_(requests_.size()) {
  choices_.reserve(requests_.size() * static_cast<size_t>(num_choices_per_call_));
  for (size_t call = 0; call < requests_.size(); ++call) {
    prompt_tokens_ += static_cast<int>(requests_[call].prompt_ids.size());
    calls_[call].first_choice = static_cast<int>(choices_.size());
    for (int i = 0; i < num_choices_per_call_; ++i) {
      choices_.emplace_back(static_cast<int>(choices_.size()), choice_options[call]);
    }
  }
}

void RunningSession::EchoPrompts(const Tokenizer& tokenizer, const PromptEchoOptions& options) {
  for (size_t call = 0; call < requests_.size(); ++call) {
    requests_[call].sampling.prompt_logprobs = options.top_k();
    calls_[call].prompt =
        std::make_unique<PromptEcho>(tokenizer, requests_[call].prompt_ids, options);
  }
}

void RunningSession::Start(WorkerClient& worker) {
  std::vector<GenerateRequest> requests = std::move(requests_);
  for (size_t call = 0; call < requests.size(); ++call) {
    std::shared_ptr<GenerateCall> handle = worker.Generate(
        std::move(requests[call]), std::make_shared<CallObserver>(shared_from_this(), call));
    std::vector<std::pair<int, int>> stops;
    std::optional<CancelReason> cancel;
    {
      const std::lock_guard<std::mutex> lock(control_mu_);
      if (calls_[call].done) continue;
      calls_[call].handle = handle;
      stops = std::exchange(calls_[call].stops_before_handle, {});
      cancel = cancel_calls_;
    }
    // What was decided before the handle was there.
    for (const auto& [choice, ids] : stops) handle->StopChoice(choice, ids);
    if (cancel) handle->Cancel(*cancel);
  }
}

void RunningSession::Cancel(CancelReason reason) {
  cancel_reason_.store(reason);
  cancelled_.store(true);  // pairs with the loads in OnChunk and FinalStatus
  CancelCalls(reason);
}

void RunningSession::CancelCalls(CancelReason reason) {
  std::vector<std::shared_ptr<GenerateCall>> handles;
  {
    const std::lock_guard<std::mutex> lock(control_mu_);
    if (cancel_calls_) return;
    cancel_calls_ = reason;
    for (const Call& call : calls_) {
      if (call.handle) handles.push_back(call.handle);
    }
  }
  for (const auto& handle : handles) handle->Cancel(reason);
}

void RunningSession::StopChoice(size_t call, int choice, int completion_tokens) {
  std::shared_ptr<GenerateCall> handle;
  {
    const std::lock_guard<std::mutex> lock(control_mu_);
    handle = calls_[call].handle;
    if (!handle) calls_[call].stops_before_handle.emplace_back(choice, completion_tokens);
  }
  if (handle) handle->StopChoice(choice, completion_tokens);
}

void RunningSession::OnChunk(size_t call, TokenChunk chunk) {
  const std::lock_guard<std::mutex> lock(delivery_mu_);
  if (cancelled_.load() || !error_.ok()) return;
  if (chunk.choice < 0 || chunk.choice >= num_choices_per_call_) {
    return Fail(absl::InternalError(
        absl::StrCat("the worker sent choice ", chunk.choice, " of ", num_choices_per_call_)));
  }
  if (calls_[call].prompt != nullptr && !TellPrompt(call, chunk)) {
    calls_[call].held.push_back(std::move(chunk));
    return;
  }
  for (const TokenChunk& held : std::exchange(calls_[call].held, {})) DeliverOutput(call, held);
  DeliverOutput(call, chunk);
}

void RunningSession::Fail(absl::Status error) {
  error_ = std::move(error);
  CancelCalls(CancelReason::kDisconnect);
}

bool RunningSession::TellPrompt(size_t call, const TokenChunk& chunk) {
  PromptEcho& prompt = *calls_[call].prompt;
  const absl::StatusOr<ChoiceDelta> told = prompt.Append(chunk.prompt_logprobs);
  if (!told.ok()) {
    Fail(told.status());
    return false;
  }
  const bool shows =
      !told->content.empty() || !told->logprobs.empty() || !told->prompt_logprobs.empty();
  for (int i = 0; shows && i < num_choices_per_call_ && !cancelled_.load(); ++i) {
    ChoiceDelta delta = *told;
    delta.choice = calls_[call].first_choice + i;
    sink_->OnDelta(std::move(delta));
  }
  if (!prompt.complete()) return false;
  calls_[call].prompt.reset();
  return true;
}

void RunningSession::DeliverOutput(size_t call, const TokenChunk& chunk) {
  if (cancelled_.load()) return;
  const int index = calls_[call].first_choice + chunk.choice;
  ChoiceStream& stream = choices_[static_cast<size_t>(index)];
  if (chunk.finish != FinishReason::kNone) {
    calls_[call].cached_tokens = std::max(calls_[call].cached_tokens, chunk.usage.cached_tokens);
  }
  const bool had_ended = stream.ended();
  std::vector<ChoiceDelta> deltas;
  stream.Append(chunk, deltas);
  if (!had_ended && stream.stopped_by_string()) {
    StopChoice(call, chunk.choice, stream.completion_tokens());
  }
  for (ChoiceDelta& delta : deltas) {
    if (cancelled_.load()) return;
    sink_->OnDelta(std::move(delta));
  }
}

void RunningSession::OnDone(size_t call, absl::Status status) {
  {
    // The handle may own the observer, which owns this.
    const std::lock_guard<std::mutex> lock(control_mu_);
    calls_[call].done = true;
    calls_[call].handle.reset();
  }
  const std::lock_guard<std::mutex> lock(delivery_mu_);
  // A worker that fails after the last choice has ended took nothing from the client.
  if (!AllEnded(call) && error_.ok()) {
    error_ = NameClientsField(std::move(status));
    if (error_.ok()) error_ = absl::InternalError("the worker ended a call before its choices");
    if (calls_.size() > 1) CancelCalls(CancelReason::kDisconnect);
  }
  if (++calls_done_ < calls_.size()) return;
  sink_->OnEnd(FinalStatus(), Usage());
}

bool RunningSession::AllEnded(size_t call) const {
  const auto first = choices_.begin() + calls_[call].first_choice;
  return std::all_of(first, first + num_choices_per_call_,
                     [](const ChoiceStream& choice) { return choice.ended(); });
}

absl::Status RunningSession::FinalStatus() const {
  if (cancelled_.load()) {
    return cancel_reason_.load() == CancelReason::kDeadline
               ? absl::DeadlineExceededError("the request's deadline passed")
               : absl::CancelledError("the client went away");
  }
  // Nobody here cancelled; to the client it is the server that failed.
  if (error_.code() == absl::StatusCode::kCancelled) {
    return absl::UnavailableError(absl::StrCat("the worker gave up: ", error_.message()));
  }
  return error_;
}

ResponseUsage RunningSession::Usage() const {
  ResponseUsage usage;
  usage.prompt_tokens = prompt_tokens_;
  for (const Call& call : calls_) usage.cached_tokens += call.cached_tokens;
  for (const ChoiceStream& choice : choices_) {
    usage.completion_tokens += choice.completion_tokens();
    usage.reasoning_tokens += choice.reasoning_tokens();
  }
  return usage;
}

}  // namespace sluice::gateway
