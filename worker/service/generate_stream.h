// SPDX-License-Identifier: Apache-2.0
// GenerateStream: one Generate call: the sink that the engine writes to, and the gRPC reactor that
// a client reads from. The engine never waits for the client: while a write is under way, chunks of
// one choice are merged into one queued message, so the queue holds at most one message a choice,
// and in front of them the scores of the prompt, which its length bounds; a client that lets more
// than kMaxUnreadIds pile up loses the request. A client that goes away abandons it.
//
// Chunks come on the engine thread, reactions on gRPC's threads; the state between them is under
// one mutex, which is never held while gRPC or the engine is called. The object lives until both
// sides have let go.
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <deque>
#include <memory>
#include <mutex>
#include <optional>

#include "absl/status/status.h"
#include "sluice/worker/v1/engine.pb.h"
#include "worker/engine/engine.h"
#include "worker/engine/request.h"

namespace sluice::worker {

class GenerateStream final : public TokenSink {
 public:
  // About 2 MB of log probabilities, or 16 times a long answer's ids.
  static constexpr int kMaxUnreadIds = 65536;

  // The call's reactor, which gRPC owns until its end. engine: null while the model is not ready.
  static grpc::ServerWriteReactor<v1::GenerateResponse>* Start(grpc::CallbackServerContext* context,
                                                               const v1::GenerateRequest& message,
                                                               Engine* engine);

  // Engine thread.
  void OnChunk(ChoiceChunk chunk) override;
  void OnDone(const absl::Status& status) override;

 private:
  class Reactor;

  GenerateStream(grpc::CallbackServerContext* context, Engine* engine)
      : context_(context), engine_(engine) {}

  void Submit(const v1::GenerateRequest& message, const std::shared_ptr<GenerateStream>& self);
  // Starts the next write, or the finish, when it is its turn.
  void Pump();
  void OnWriteDone(bool ok);
  void OnCancel();
  void Abandon(CancelReason reason);

  grpc::CallbackServerContext* const context_;
  Engine* const engine_;
  Reactor* reactor_ = nullptr;  // valid until Finish was called

  std::mutex mutex_;
  std::optional<RequestHandle> handle_;
  std::deque<v1::GenerateResponse> queue_;
  v1::GenerateResponse writing_;  // what gRPC reads while write_pending_
  int unread_ids_ = 0;            // in queue_
  bool write_pending_ = false;
  bool gone_ = false;  // nobody reads any more
  std::optional<CancelReason> abandoned_;
  std::optional<absl::Status> done_;
  std::optional<absl::Status> final_status_;  // overrides done_
  bool finished_ = false;
};

}  // namespace sluice::worker
