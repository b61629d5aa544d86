// SPDX-License-Identifier: Apache-2.0
// RunningSession: the Session there is. One worker call per prompt; every call's chunks go through
// its choices' streams to the one sink. Kept alive by the calls' observers until the last OnDone.
//
// Two locks, so that the sink may cancel from inside OnDelta: delivery_mu_ is held while deltas are
// made and delivered, control_mu_ guards the calls' handles and is never held across a call to
// anyone.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "gateway/backend/worker_client.h"
#include "gateway/session/choice_stream.h"
#include "gateway/session/delta_sink.h"
#include "gateway/session/prompt_echo.h"
#include "gateway/session/session.h"

namespace sluice::gateway {

class RunningSession final : public Session, public std::enable_shared_from_this<RunningSession> {
 public:
  // One request per prompt, each with the same n. `choice_options[i]` are those of request i's
  // choices.
  RunningSession(std::vector<GenerateRequest> requests,
                 std::vector<ChoiceStreamOptions> choice_options, std::shared_ptr<DeltaSink> sink);

  // Before Start: what the answers tell of their prompts. tokenizer outlives the session.
  void EchoPrompts(const Tokenizer& tokenizer, const PromptEchoOptions& options);

  // Once, right after construction. The sink may be called before this returns.
  void Start(WorkerClient& worker);

  void Cancel(CancelReason reason) override;
  int prompt_tokens() const override { return prompt_tokens_; }

 private:
  class CallObserver;

  struct Call {
    int first_choice = 0;
    int cached_tokens = 0;                 // delivery_mu_
    std::unique_ptr<PromptEcho> prompt;    // delivery_mu_; until the prompt was told
    std::vector<TokenChunk> held;          // delivery_mu_; output that waits for that
    std::shared_ptr<GenerateCall> handle;  // control_mu_; from Generate's return to OnDone
    bool done = false;                     // control_mu_
    std::vector<std::pair<int, int>> stops_before_handle;  // control_mu_; choice, ids
  };

  void OnChunk(size_t call, TokenChunk chunk);
  // Tells what is known of the prompt. False: the chunk's output must wait.
  bool TellPrompt(size_t call, const TokenChunk& chunk);
  void DeliverOutput(size_t call, const TokenChunk& chunk);
  void Fail(absl::Status error);
  void OnDone(size_t call, absl::Status status);
  void StopChoice(size_t call, int choice, int completion_tokens);
  void CancelCalls(CancelReason reason);
  bool AllEnded(size_t call) const;
  absl::Status FinalStatus() const;
  ResponseUsage Usage() const;

  const int num_choices_per_call_;
  const std::shared_ptr<DeltaSink> sink_;
  std::vector<GenerateRequest> requests_;  // moved out by Start
  int prompt_tokens_ = 0;

  std::mutex delivery_mu_;
  std::vector<ChoiceStream> choices_;  // delivery_mu_
  size_t calls_done_ = 0;              // delivery_mu_
  absl::Status error_;                 // delivery_mu_; the first one

  std::mutex control_mu_;
  std::vector<Call> calls_;                   // see the fields
  std::optional<CancelReason> cancel_calls_;  // control_mu_; what the calls were told
  std::atomic<bool> cancelled_{false};  // the client wants no more; set before the calls are told
  std::atomic<CancelReason> cancel_reason_{CancelReason::kDisconnect};  // written before cancelled_
};

}  // namespace sluice::gateway
