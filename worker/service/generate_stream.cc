// SPDX-License-Identifier: Apache-2.0
#include "worker/service/generate_stream.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "proto/wire/metadata.h"
#include "proto/wire/status.h"
#include "worker/service/engine_messages.h"
#include "worker/service/log.h"

namespace sluice::worker {
namespace {

// gRPC counts deadlines on the system clock, the engine on its own steady one.
std::optional<Clock::TimePoint> Deadline(const grpc::CallbackServerContext& context) {
  const auto deadline = context.deadline();
  if (deadline == std::chrono::system_clock::time_point::max()) return std::nullopt;
  const auto left = deadline - std::chrono::system_clock::now();
  if (left > std::chrono::hours(24 * 365)) return std::nullopt;
  return std::chrono::steady_clock::now() + left;
}

}  // namespace

class GenerateStream::Reactor final : public grpc::ServerWriteReactor<v1::GenerateResponse> {
 public:
  explicit Reactor(std::shared_ptr<GenerateStream> stream) : stream_(std::move(stream)) {}
  void OnWriteDone(bool ok) override { stream_->OnWriteDone(ok); }
  void OnCancel() override { stream_->OnCancel(); }
  void OnDone() override { delete this; }

 private:
  const std::shared_ptr<GenerateStream> stream_;
};

grpc::ServerWriteReactor<v1::GenerateResponse>* GenerateStream::Start(
    grpc::CallbackServerContext* context, const v1::GenerateRequest& message, Engine* engine) {
  const std::shared_ptr<GenerateStream> stream(new GenerateStream(context, engine));
  auto* reactor = new Reactor(stream);
  stream->reactor_ = reactor;
  stream->Submit(message, stream);
  return reactor;
}

void GenerateStream::Submit(const v1::GenerateRequest& message,
                            const std::shared_ptr<GenerateStream>& self) {
  const ScopedRequestId scope(message.request_id());
  if (engine_ == nullptr) {
    return OnDone(
        absl::UnavailableError("the model is still loading; try again when health says SERVING"));
  }
  absl::StatusOr<EngineRequest> request = FromMessage(message);
  if (!request.ok()) return OnDone(request.status());
  request->deadline = Deadline(*context_);
  const absl::StatusOr<RequestHandle> handle = engine_->Submit(*std::move(request), self);
  if (!handle.ok()) {
    spdlog::info("request refused: {}", handle.status().ToString());
    return OnDone(handle.status());
  }
  const auto traceparent = wire::ClientMetadata(*context_, wire::kTraceparentMetadata);
  if (traceparent) spdlog::info("request accepted traceparent={}", *traceparent);
  const std::lock_guard lock(mutex_);
  handle_ = *handle;
}

void GenerateStream::OnChunk(ChoiceChunk chunk) {
  bool overflow = false;
  {
    const std::lock_guard lock(mutex_);
    if (gone_ || final_status_) return;
    unread_ids_ += static_cast<int>(chunk.ids.size());
    v1::GenerateResponse message = ToMessage(std::move(chunk));
    const auto same = std::find_if(queue_.begin(), queue_.end(), [&](const auto& queued) {
      return queued.choice() == message.choice() && queued.prompt_logprobs().empty();
    });
    // A prompt's scores stay messages of their own, since they may be megabytes; the prompt bounds
    // them, so they do not count as unread.
    if (same == queue_.end() || !message.prompt_logprobs().empty()) {
      queue_.push_back(std::move(message));
    } else {
      Merge(std::move(message), *same);
    }
    overflow = unread_ids_ > kMaxUnreadIds;
    if (overflow) {
      final_status_ = absl::ResourceExhaustedError(absl::StrCat(
          "the client reads too slowly: ", unread_ids_, " generated ids wait to be read"));
      queue_.clear();
    }
  }
  if (overflow) return Abandon(CancelReason::kDisconnect);
  Pump();
}

void GenerateStream::OnDone(const absl::Status& status) {
  {
    const std::lock_guard lock(mutex_);
    done_ = status;
  }
  Pump();
}

void GenerateStream::Pump() {
  bool finish = false;
  {
    const std::lock_guard lock(mutex_);
    if (write_pending_ || finished_) return;
    if (!queue_.empty() && !gone_) {
      writing_ = std::move(queue_.front());
      queue_.pop_front();
      unread_ids_ -= writing_.ids_size();
      write_pending_ = true;
    } else if (done_) {
      finish = finished_ = true;
    } else {
      return;
    }
  }
  // Whoever set one of the two flags is alone here, and gRPC keeps the reactor until Finish.
  if (finish) {
    reactor_->Finish(wire::ToGrpcStatus(final_status_.value_or(*done_), *context_));
  } else {
    reactor_->StartWrite(&writing_);
  }
}

void GenerateStream::OnWriteDone(bool ok) {
  {
    const std::lock_guard lock(mutex_);
    write_pending_ = false;
    if (!ok) gone_ = true;
  }
  if (!ok) Abandon(CancelReason::kDisconnect);
  Pump();
}

void GenerateStream::OnCancel() {
  {
    const std::lock_guard lock(mutex_);
    gone_ = true;
    queue_.clear();
  }
  const bool late = context_->deadline() <= std::chrono::system_clock::now();
  Abandon(late ? CancelReason::kDeadline : CancelReason::kDisconnect);
  Pump();
}

void GenerateStream::Abandon(CancelReason reason) {
  std::optional<RequestHandle> handle;
  {
    const std::lock_guard lock(mutex_);
    if (abandoned_ || done_) return;
    abandoned_ = reason;
    handle = handle_;
  }
  if (handle) engine_->Abandon(*handle, reason);
}

}  // namespace sluice::worker
