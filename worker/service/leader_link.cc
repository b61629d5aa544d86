// SPDX-License-Identifier: Apache-2.0
#include "worker/service/leader_link.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "proto/wire/status.h"
#include "worker/service/plan_messages.h"

namespace sluice::worker {

absl::StatusOr<std::unique_ptr<LeaderLink>> LeaderLink::Join(
    const std::string& leader, const v1::JoinRequest& request,
    std::chrono::milliseconds connect_timeout) {
  grpc::ChannelArguments arguments;
  // A host that dies without a word is noticed by pings.
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 20'000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 20'000);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  const auto channel =
      grpc::CreateCustomChannel(leader, grpc::InsecureChannelCredentials(), arguments);
  if (!channel->WaitForConnected(std::chrono::system_clock::now() + connect_timeout)) {
    return absl::UnavailableError(absl::StrCat("the leader at ", leader, " did not answer within ",
                                               connect_timeout.count(), " ms; check --leader"));
  }
  std::unique_ptr<LeaderLink> link(new LeaderLink);
  link->stub_ = v1::Group::NewStub(channel);
  link->stream_ = link->stub_->Join(&link->context_);
  v1::RankMessage message;
  *message.mutable_join() = request;
  v1::LeaderMessage reply;
  if (!link->stream_->Write(message) || !link->stream_->Read(&reply)) {
    const absl::Status status = wire::FromGrpcStatus(link->stream_->Finish());
    return status.ok() ? absl::UnavailableError("the leader ended the stream") : status;
  }
  if (!reply.has_accepted()) return absl::InternalError("the leader's first message is no accept");
  link->accepted_ = reply.accepted();
  return link;
}

LeaderLink::~LeaderLink() {
  if (!reader_.joinable()) return;
  context_.TryCancel();
  reader_.join();
}

void LeaderLink::SendReady(int num_pages) {
  v1::RankMessage message;
  message.mutable_ready()->set_num_pages(static_cast<uint32_t>(num_pages));
  stream_->Write(message);  // a failure ends the stream, which the read sees
}

void LeaderLink::Start(std::function<void()> on_lost) {
  reader_ = std::thread([this, on_lost = std::move(on_lost)] { ReadPlans(on_lost); });
}

void LeaderLink::ReadPlans(const std::function<void()>& on_lost) {
  v1::LeaderMessage message;
  bool stopped = false;
  while (!stopped && stream_->Read(&message)) {
    const std::lock_guard lock(mutex_);
    stopped = stopped_ = message.has_stop();
    if (message.has_plan()) plans_.push_back(FromMessage(message.plan()));
    changed_.notify_all();
  }
  if (stopped) return;
  {
    const std::lock_guard lock(mutex_);
    lost_ = true;
    changed_.notify_all();
  }
  on_lost();
}

absl::StatusOr<std::optional<StepPlan>> LeaderLink::NextPlan() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return !plans_.empty() || stopped_ || lost_; });
  if (lost_) return absl::UnavailableError("the leader is gone");
  if (plans_.empty()) return std::optional<StepPlan>();
  std::optional<StepPlan> plan = std::move(plans_.front());
  plans_.pop_front();
  return plan;
}

bool LeaderLink::Report(const v1::StepReport& report) {
  v1::RankMessage message;
  *message.mutable_report() = report;
  return stream_->Write(message);
}

}  // namespace sluice::worker
