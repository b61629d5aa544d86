// SPDX-License-Identifier: Apache-2.0
#include "gateway/server/request_sink.h"

namespace sluice::gateway {

void RequestSink::Attach(std::shared_ptr<Session> session) {
  bool gone;
  {
    std::lock_guard<std::mutex> lock(mu_);
    session_ = session;
    gone = gone_;
  }
  if (gone) session->Cancel(CancelReason::kDisconnect);
  for (;;) {
    std::deque<ChoiceDelta> deltas;
    std::optional<End> end;
    {
      std::lock_guard<std::mutex> lock(mu_);
      deltas.swap(early_);
      if (deltas.empty()) {
        end = std::move(early_end_);
        flushed_ = true;
      }
    }
    for (ChoiceDelta& delta : deltas) DeliverTraced(std::move(delta));
    if (!deltas.empty()) continue;
    if (end) DeliverEndTraced(*end);
    return;
  }
}

void RequestSink::ClientGone() {
  std::shared_ptr<Session> session;
  {
    std::lock_guard<std::mutex> lock(mu_);
    if (gone_ || ended_) return;
    gone_ = true;
    session = session_;
  }
  if (session) session->Cancel(CancelReason::kDisconnect);
}

bool RequestSink::client_gone() const {
  std::lock_guard<std::mutex> lock(mu_);
  return gone_;
}

void RequestSink::OnDelta(ChoiceDelta delta) {
  {
    std::lock_guard<std::mutex> lock(mu_);
    if (!flushed_) {
      early_.push_back(std::move(delta));
      return;
    }
  }
  DeliverTraced(std::move(delta));
}

void RequestSink::OnEnd(absl::Status status, ResponseUsage usage) {
  End end{std::move(status), usage};
  {
    std::lock_guard<std::mutex> lock(mu_);
    if (!flushed_) {
      early_end_ = std::move(end);
      return;
    }
  }
  DeliverEndTraced(end);
}

void RequestSink::DeliverTraced(ChoiceDelta delta) {
  trace_->OnDelta(delta);
  Deliver(std::move(delta), *session_);
}

void RequestSink::DeliverEndTraced(const End& end) {
  std::shared_ptr<Session> session;
  {
    std::lock_guard<std::mutex> lock(mu_);
    ended_ = true;
    session = std::move(session_);  // the session holds us, we hold it: let go
  }
  trace_->End(end.status, end.usage);
  DeliverEnd(end.status, end.usage, *session);
}

}  // namespace sluice::gateway
