// SPDX-License-Identifier: Apache-2.0
#include "gateway/server/chat_service.h"

#include <chrono>
#include <ctime>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gateway/openai/error.h"
#include "gateway/openai/response_header.h"
#include "gateway/server/chat_messages.h"
#include "gateway/server/request_sink.h"
#include "proto/wire/metadata.h"
#include "proto/wire/retry_after.h"
#include "proto/wire/status.h"

namespace sluice::gateway {

namespace pb = ::sluice::v1;

namespace {

// HTTP's error body has a place for the field's name; a gRPC status has only its message.
absl::Status NamingItsField(const absl::Status& status) {
  const std::string field = ErrorParam(status);
  if (field.empty() || absl::StrContains(status.message(), field)) return status;
  return absl::Status(status.code(), absl::StrCat(field, ": ", status.message()));
}

// The sending side of one call. gRPC allows one write at a time and wants exactly one Finish, after
// the last write; deltas come faster than that, so they wait here, up to a bound. Alive until
// OnDone and as long as its session.
class ChatStream final : public grpc::ServerWriteReactor<pb::ChatResponse>, public RequestSink {
 public:
  ChatStream(std::unique_ptr<RequestTrace> trace, ResponseHeader header,
             grpc::CallbackServerContext* context, size_t max_unsent_bytes)
      : RequestSink(std::move(trace)),
        header_(std::move(header)),
        context_(context),
        max_unsent_bytes_(max_unsent_bytes) {}

  // REQUIRES: owned by a shared_ptr. Until OnDone the stream keeps itself alive.
  void KeepAlive(std::shared_ptr<ChatStream> self) { self_ = std::move(self); }

  // Ends a request that never became a session.
  void Refuse(const absl::Status& status) {
    trace().End(status);
    Close(NamingItsField(status));
  }

  void OnWriteDone(bool ok) override {
    {
      std::lock_guard<std::mutex> lock(mu_);
      writing_ = false;
      if (!ok) {
        unsent_.clear();
        unsent_bytes_ = 0;
      }
    }
    if (!ok) ClientGone();
    SendNext();
  }
  void OnCancel() override { ClientGone(); }
  void OnDone() override {
    const std::shared_ptr<ChatStream> self = std::move(self_);  // may be the last reference
  }

 protected:
  void Deliver(ChoiceDelta delta, const Session&) override {
    // The last delta waits for the usage that belongs on the stream's last message.
    std::optional<pb::ChatResponse> before = std::exchange(held_, ToProto(header_, delta));
    if (held_->finish_reason().empty()) {
      if (before) Enqueue(*std::move(before));
      before = std::exchange(held_, std::nullopt);
    }
    if (before) Enqueue(*std::move(before));
  }

  void DeliverEnd(const absl::Status& status, const ResponseUsage& usage, const Session&) override {
    if (held_) {
      if (status.ok()) *held_->mutable_usage() = ToProto(usage);
      Enqueue(*std::move(held_));
    }
    Close(status);
  }

 private:
  void Enqueue(pb::ChatResponse message) {
    bool stuck = false;
    {
      std::lock_guard<std::mutex> lock(mu_);
      if (stuck_) return;
      unsent_bytes_ += message.ByteSizeLong();
      unsent_.push_back(std::move(message));
      stuck = stuck_ = unsent_bytes_ > max_unsent_bytes_;
    }
    if (stuck) {
      // The write in flight would never end by itself; this ends it, and the call.
      context_->TryCancel();
      ClientGone();
    }
    SendNext();
  }

  // After the session's end, or instead of a session. The status goes out when the queue is empty.
  void Close(const absl::Status& status) {
    {
      std::lock_guard<std::mutex> lock(mu_);
      end_ = status;
    }
    SendNext();
  }

  void SendNext() {
    std::optional<absl::Status> finish;
    {
      std::lock_guard<std::mutex> lock(mu_);
      if (writing_ || finished_) return;
      if (!unsent_.empty()) {
        current_ = std::move(unsent_.front());
        unsent_.pop_front();
        unsent_bytes_ -= current_.ByteSizeLong();
        writing_ = true;
      } else if (end_) {
        finished_ = true;
        finish = end_;
      } else {
        return;
      }
    }
    if (finish) {
      Finish(wire::ToGrpcStatus(*finish, *context_));
    } else {
      StartWrite(&current_);
    }
  }

  const ResponseHeader header_;
  grpc::CallbackServerContext* const context_;
  const size_t max_unsent_bytes_;
  std::shared_ptr<ChatStream> self_;
  std::optional<pb::ChatResponse>
      held_;  // used by the session's deliveries, which come one at a time

  std::mutex mu_;
  // Guarded by mu_.
  std::deque<pb::ChatResponse> unsent_;
  size_t unsent_bytes_ = 0;
  pb::ChatResponse current_;  // the write in flight
  bool writing_ = false;
  bool finished_ = false;
  bool stuck_ = false;
  std::optional<absl::Status> end_;
};

void Serve(const ApiContext& api, const pb::ChatRequest& message,
           const std::shared_ptr<ChatStream>& stream,
           std::optional<std::chrono::system_clock::time_point> deadline) {
  if (stream->client_gone()) {
    return stream->Refuse(absl::CancelledError("the client left before its request was read"));
  }
  const absl::StatusOr<ChatRequest> request = FromProto(message);
  if (!request.ok()) return stream->Refuse(request.status());
  RequestContext context;
  context.request_id = stream->trace().identity().unique_id;
  context.traceparent = stream->trace().identity().traceparent;
  context.deadline = deadline;
  absl::StatusOr<std::shared_ptr<Session>> session =
      api.engine->StartChat(*request, context, stream);
  if (!session.ok()) return stream->Refuse(session.status());
  stream->Attach(*std::move(session));
}

std::string Authorization(const grpc::CallbackServerContext& context) {
  const auto found = context.client_metadata().find("authorization");
  if (found == context.client_metadata().end()) return "";
  return std::string(found->second.data(), found->second.size());
}

}  // namespace

grpc::ServerWriteReactor<pb::ChatResponse>* ChatService::Chat(grpc::CallbackServerContext* context,
                                                              const pb::ChatRequest* request) {
  const auto metadata = [context](const char* key) {
    return wire::ClientMetadata(*context, key).value_or("");
  };
  RequestIdentity identity =
      IdentifyRequest(metadata(wire::kRequestIdMetadata), metadata(wire::kTraceparentMetadata));
  context->AddInitialMetadata(wire::kRequestIdMetadata, identity.shown_id);
  ResponseHeader header;
  header.id = "chatcmpl-" + identity.unique_id;
  header.model = context_.engine->options().served_model_names.front();
  header.created_unix_seconds = std::time(nullptr);
  auto stream = std::make_shared<ChatStream>(
      std::make_unique<RequestTrace>("grpc_chat", std::move(identity), context_.metrics,
                                     context_.running),
      std::move(header), context, max_unsent_bytes_);
  stream->KeepAlive(stream);

  std::optional<std::chrono::system_clock::time_point> deadline = context->deadline();
  if (*deadline == std::chrono::system_clock::time_point::max()) deadline.reset();
  absl::Status admitted = context_.admit(Authorization(*context));
  if (!admitted.ok()) {
    stream->Refuse(admitted);
  } else if (!context_.work->Post([this, request, stream, deadline] {
               // gRPC keeps the request until OnDone, which cannot come before this task has ended
               // the stream.
               Serve(context_, *request, stream, deadline);
             })) {
    stream->Refuse(wire::WithRetryAfter(
        absl::ResourceExhaustedError("too many requests wait for the gateway to read them"),
        std::chrono::seconds(1)));
  }
  return stream.get();
}

}  // namespace sluice::gateway
