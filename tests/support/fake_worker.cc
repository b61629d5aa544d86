// SPDX-License-Identifier: Apache-2.0
#include "tests/support/fake_worker.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include <grpcpp/health_check_service_interface.h>

namespace sluice::testing {

namespace pb = ::sluice::worker::v1;

namespace {

constexpr std::chrono::seconds kTimeout{60};

}  // namespace

FakeWorker::FakeWorker(pb::ModelInfo info, int port) : info_(std::move(info)) {
  grpc::EnableDefaultHealthCheckService(true);
  grpc::ServerBuilder builder;
  // Not shared: a second fake on a port in use must fail to start.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.AddListeningPort("127.0.0.1:" + std::to_string(port), grpc::InsecureServerCredentials(),
                           &port_);
  builder.RegisterService(this);
  server_ = builder.BuildAndStart();
}

FakeWorker::~FakeWorker() { Kill(); }

void FakeWorker::Kill() {
  // A deadline in the past cancels what runs.
  if (server_) server_->Shutdown(std::chrono::system_clock::now());
}

void FakeWorker::SetScript(Script script) {
  std::lock_guard<std::mutex> lock(mu_);
  script_ = std::move(script);
}

void FakeWorker::SetServing(bool serving) {
  server_->GetHealthCheckService()->SetServingStatus(serving);
}

void FakeWorker::Forget() {
  std::lock_guard<std::mutex> lock(mu_);
  requests_.clear();
  cancels_.clear();
}

std::vector<pb::GenerateRequest> FakeWorker::requests() const {
  std::lock_guard<std::mutex> lock(mu_);
  return requests_;
}

std::vector<pb::CancelRequest> FakeWorker::cancels() const {
  std::lock_guard<std::mutex> lock(mu_);
  return cancels_;
}

int FakeWorker::running() const {
  std::lock_guard<std::mutex> lock(mu_);
  return running_;
}

bool FakeWorker::AwaitRequests(size_t n) {
  std::unique_lock<std::mutex> lock(mu_);
  return changed_.wait_for(lock, kTimeout, [&] { return requests_.size() >= n; });
}

bool FakeWorker::AwaitCancels(size_t n) {
  std::unique_lock<std::mutex> lock(mu_);
  return changed_.wait_for(lock, kTimeout, [&] { return cancels_.size() >= n; });
}

bool FakeWorker::AwaitIdle() {
  std::unique_lock<std::mutex> lock(mu_);
  return changed_.wait_for(lock, kTimeout, [&] { return running_ == 0; });
}

grpc::Status FakeWorker::Generate(grpc::ServerContext* context, const pb::GenerateRequest* request,
                                  grpc::ServerWriter<pb::GenerateResponse>* writer) {
  Script script;
  {
    std::lock_guard<std::mutex> lock(mu_);
    requests_.push_back(*request);
    ++running_;
    script = script_;
    changed_.notify_all();
  }
  Generation generation;
  generation.worker_ = this;
  generation.context_ = context;
  generation.request_ = request;
  generation.writer_ = writer;
  grpc::Status status = script ? script(generation)
                               : grpc::Status(grpc::StatusCode::INTERNAL, "the test set no script");
  std::lock_guard<std::mutex> lock(mu_);
  --running_;
  changed_.notify_all();
  return status;
}

grpc::Status FakeWorker::Cancel(grpc::ServerContext*, const pb::CancelRequest* request,
                                pb::CancelResponse*) {
  std::lock_guard<std::mutex> lock(mu_);
  cancels_.push_back(*request);
  changed_.notify_all();
  return grpc::Status::OK;
}

grpc::Status FakeWorker::GetModelInfo(grpc::ServerContext*, const pb::GetModelInfoRequest*,
                                      pb::ModelInfo* response) {
  *response = info_;
  return grpc::Status::OK;
}

std::string FakeWorker::Generation::Metadata(const std::string& key) const {
  const auto found = context_->client_metadata().find(key);
  if (found == context_->client_metadata().end()) return "";
  return std::string(found->second.data(), found->second.size());
}

bool FakeWorker::Generation::Write(const std::vector<int32_t>& ids, int choice) {
  pb::GenerateResponse response;
  response.set_choice(static_cast<uint32_t>(choice));
  response.mutable_ids()->Add(ids.begin(), ids.end());
  return writer_->Write(response);
}

bool FakeWorker::Generation::Finish(pb::FinishReason reason, int completion_tokens, int choice,
                                    const std::vector<int32_t>& ids, bool stopped_by_last_id) {
  pb::GenerateResponse response;
  response.set_choice(static_cast<uint32_t>(choice));
  response.mutable_ids()->Add(ids.begin(), ids.end());
  response.set_finish_reason(reason);
  if (stopped_by_last_id) response.set_stop_id(ids.back());
  response.mutable_usage()->set_prompt_tokens(static_cast<uint32_t>(request_->prompt_ids_size()));
  response.mutable_usage()->set_completion_tokens(static_cast<uint32_t>(completion_tokens));
  return writer_->Write(response);
}

bool FakeWorker::Generation::AwaitCancel(int choice) {
  const auto cancelled = [&] {
    if (context_->IsCancelled()) return true;
    for (const pb::CancelRequest& cancel : worker_->cancels_) {
      if (cancel.request_id() == request_->request_id() &&
          (!cancel.has_choice() || cancel.choice() == static_cast<uint32_t>(choice))) {
        return true;
      }
    }
    return false;
  };
  std::unique_lock<std::mutex> lock(worker_->mu_);
  const auto deadline = std::chrono::steady_clock::now() + kTimeout;
  // A stream's cancellation notifies nobody: look for it now and then.
  while (!cancelled()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    worker_->changed_.wait_for(lock, std::chrono::milliseconds(5));
  }
  return true;
}

FakeWorker::Script AnswerWith(std::vector<int32_t> ids, pb::FinishReason reason) {
  return [ids = std::move(ids), reason](FakeWorker::Generation& generation) {
    const int n = std::max(1, static_cast<int>(generation.request().n()));
    for (int choice = 0; choice < n; ++choice) {
      for (const int32_t id : ids) generation.Write({id}, choice);
      generation.Finish(reason, static_cast<int>(ids.size()), choice);
    }
    return grpc::Status::OK;
  };
}

FakeWorker::Script AnswerForever(int32_t id) {
  return [id](FakeWorker::Generation& generation) {
    while (!generation.stream_cancelled() && generation.Write({id})) {
    }
    return grpc::Status::CANCELLED;
  };
}

}  // namespace sluice::testing
