// SPDX-License-Identifier: Apache-2.0
// A worker group's leader without a model: a real gRPC server of sluice.worker.v1.Engine (and the
// health service) on a free port, whose answers a test scripts. It records what it was asked and
// cancelled.
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include <grpcpp/grpcpp.h>

#include "sluice/worker/v1/engine.grpc.pb.h"

namespace sluice::testing {

class FakeWorker final : public sluice::worker::v1::Engine::Service {
 public:
  // One running Generate, in the hands of the script, on a thread of the server.
  class Generation {
   public:
    const sluice::worker::v1::GenerateRequest& request() const { return *request_; }
    std::string Metadata(const std::string& key) const;
    // Text-free: a chunk of one choice. False when the call is gone.
    bool Write(const std::vector<int32_t>& ids, int choice = 0);
    // The choice's last chunk.
    bool Finish(sluice::worker::v1::FinishReason reason, int completion_tokens, int choice = 0,
                const std::vector<int32_t>& ids = {}, bool stopped_by_last_id = false);
    bool Write(const sluice::worker::v1::GenerateResponse& response) {
      return writer_->Write(response);
    }
    // Until the stream is cancelled, or a Cancel names this request and `choice`. False after a
    // minute.
    bool AwaitCancel(int choice = 0);
    bool stream_cancelled() const { return context_->IsCancelled(); }
    grpc::ServerContext& context() { return *context_; }

   private:
    friend class FakeWorker;
    FakeWorker* worker_ = nullptr;
    grpc::ServerContext* context_ = nullptr;
    const sluice::worker::v1::GenerateRequest* request_ = nullptr;
    grpc::ServerWriter<sluice::worker::v1::GenerateResponse>* writer_ = nullptr;
  };
  using Script = std::function<grpc::Status(Generation&)>;

  // Serves `info`; port 0 picks a free one.
  explicit FakeWorker(sluice::worker::v1::ModelInfo info, int port = 0);
  ~FakeWorker() override;

  int port() const { return port_; }
  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }

  // For requests that start from now on.
  void SetScript(Script script);
  void SetServing(bool serving);
  // Drops what was recorded.
  void Forget();
  // Streams break as they do when the process dies.
  void Kill();

  std::vector<sluice::worker::v1::GenerateRequest> requests() const;
  std::vector<sluice::worker::v1::CancelRequest> cancels() const;
  int running() const;
  // Waits for the predicate over the counts below; false after a minute.
  bool AwaitRequests(size_t n);
  bool AwaitCancels(size_t n);
  bool AwaitIdle();  // no Generate is running

  grpc::Status Generate(grpc::ServerContext* context,
                        const sluice::worker::v1::GenerateRequest* request,
                        grpc::ServerWriter<sluice::worker::v1::GenerateResponse>* writer) override;
  grpc::Status Cancel(grpc::ServerContext* context,
                      const sluice::worker::v1::CancelRequest* request,
                      sluice::worker::v1::CancelResponse* response) override;
  grpc::Status GetModelInfo(grpc::ServerContext* context,
                            const sluice::worker::v1::GetModelInfoRequest* request,
                            sluice::worker::v1::ModelInfo* response) override;

 private:
  const sluice::worker::v1::ModelInfo info_;
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;

  mutable std::mutex mu_;
  std::condition_variable changed_;
  // Guarded by mu_.
  Script script_;
  std::vector<sluice::worker::v1::GenerateRequest> requests_;
  std::vector<sluice::worker::v1::CancelRequest> cancels_;
  int running_ = 0;
};

// Answers with these ids, one a message, then ends with `reason`.
FakeWorker::Script AnswerWith(
    std::vector<int32_t> ids,
    sluice::worker::v1::FinishReason reason = sluice::worker::v1::FINISH_REASON_LENGTH);
// Writes `id` over and over until the call is cancelled.
FakeWorker::Script AnswerForever(int32_t id);

}  // namespace sluice::testing
