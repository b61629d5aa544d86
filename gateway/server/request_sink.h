// SPDX-License-Identifier: Apache-2.0
// RequestSink: the server's end of one session, for every protocol. It puts in order what may
// happen at once: the session starting on a work thread, its deltas on a worker client's thread,
// the client going away on an I/O thread. Subclasses only write. Shared by the session and by the
// connection.
#pragma once

#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "gateway/server/request_trace.h"
#include "gateway/session/delta_sink.h"
#include "gateway/session/session.h"

namespace sluice::gateway {

class RequestSink : public DeltaSink {
 public:
  explicit RequestSink(std::unique_ptr<RequestTrace> trace) : trace_(std::move(trace)) {}

  // Once, when the session has started: delivers what came meanwhile.
  void Attach(std::shared_ptr<Session> session);
  // The client is gone: cancels the session, now or as soon as it is attached. Any thread, any
  // number of times.
  void ClientGone();
  bool client_gone() const;

  void OnDelta(ChoiceDelta delta) final;
  void OnEnd(absl::Status status, ResponseUsage usage) final;

  RequestTrace& trace() { return *trace_; }

 protected:
  // One call at a time, after Attach. Deliver may call ClientGone.
  virtual void Deliver(ChoiceDelta delta, const Session& session) = 0;
  virtual void DeliverEnd(const absl::Status& status, const ResponseUsage& usage,
                          const Session& session) = 0;

 private:
  struct End {
    absl::Status status;
    ResponseUsage usage;
  };
  void DeliverTraced(ChoiceDelta delta);
  void DeliverEndTraced(const End& end);

  const std::unique_ptr<RequestTrace> trace_;

  mutable std::mutex mu_;
  // Guarded by mu_.
  std::shared_ptr<Session> session_;
  bool flushed_ = false;  // what came before Attach is delivered: deltas go straight through
  bool ended_ = false;
  bool gone_ = false;
  std::deque<ChoiceDelta> early_;
  std::optional<End> early_end_;
};

}  // namespace sluice::gateway
