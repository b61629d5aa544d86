// SPDX-License-Identifier: Apache-2.0
#include "worker/service/group_service.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "proto/wire/status.h"
#include "worker/service/plan_messages.h"

namespace sluice::worker {

GroupService::GroupService(GroupOptions options)
    : options_(std::move(options)), ranks_(static_cast<size_t>(options_.tp_size)) {}

grpc::Status GroupService::Join(grpc::ServerContext* context, Stream* stream) {
  v1::RankMessage first;
  if (!stream->Read(&first)) return grpc::Status::OK;
  const absl::Status accepted = Accept(first, context, stream);
  if (!accepted.ok()) {
    spdlog::error("a rank was refused: {}", accepted.ToString());
    return wire::ToGrpcStatus(accepted, *context);
  }
  const uint32_t rank = first.join().rank();
  absl::Status end = ReadReports(rank, stream);
  {
    const std::lock_guard write_lock(write_mutex_);
    const std::lock_guard lock(mutex_);
    ranks_[rank].stream = nullptr;
    ranks_[rank].context = nullptr;
    if (stopping_) end = absl::OkStatus();
  }
  if (!end.ok()) Fail(end);
  return wire::ToGrpcStatus(end);
}

absl::Status GroupService::Accept(const v1::RankMessage& first, grpc::ServerContext* context,
                                  Stream* stream) {
  if (!first.has_join()) return absl::InvalidArgumentError("the first message must be join");
  const v1::JoinRequest& join = first.join();
  if (join.tp_size() != static_cast<uint32_t>(options_.tp_size)) {
    return absl::FailedPreconditionError(
        absl::StrCat("rank ", join.rank(), " was started with --tp-size ", join.tp_size(),
                     ", the leader with ", options_.tp_size));
  }
  if (join.rank() < 1 || join.rank() >= ranks_.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("rank ", join.rank(), " is not between 1 and ", ranks_.size() - 1));
  }
  if (join.build_id() != options_.build_id) {
    return absl::FailedPreconditionError(
        absl::StrCat("rank ", join.rank(), " runs build ", join.build_id(), ", the leader ",
                     options_.build_id, "; install one version everywhere"));
  }
  if (join.device() != options_.device) {
    return absl::FailedPreconditionError(
        absl::StrCat("rank ", join.rank(), " runs on device ", join.device(), ", the leader on ",
                     options_.device, "; start all with the same --device"));
  }
  if (join.all_reduce() != options_.all_reduce) {
    return absl::FailedPreconditionError(
        absl::StrCat("rank ", join.rank(), " was started with --all-reduce ", join.all_reduce(),
                     ", the leader with ", options_.all_reduce, "; start all with the same"));
  }
  if (join.checkpoint_digest() != options_.checkpoint_digest) {
    return absl::FailedPreconditionError(
        absl::StrCat("rank ", join.rank(), " has another checkpoint (digest ",
                     join.checkpoint_digest(), ") than the leader (", options_.checkpoint_digest,
                     "); copy one model folder to all hosts"));
  }
  const std::lock_guard write_lock(write_mutex_);
  {
    const std::lock_guard lock(mutex_);
    if (!health_.ok()) return health_;
    Rank& rank = ranks_[join.rank()];
    if (rank.stream != nullptr) {
      return absl::AlreadyExistsError(absl::StrCat("rank ", join.rank(), " has joined already"));
    }
    rank = {.stream = stream, .context = context, .joined = true};
    changed_.notify_all();
  }
  v1::LeaderMessage reply;
  *reply.mutable_accepted() = options_.accepted;
  stream->Write(reply);  // a failure ends the stream, which the read sees
  spdlog::info("rank {} joined from {}", join.rank(), context->peer());
  return absl::OkStatus();
}

absl::Status GroupService::ReadReports(uint32_t rank, Stream* stream) {
  v1::RankMessage message;
  while (stream->Read(&message)) {
    {
      const std::lock_guard lock(mutex_);
      if (message.has_ready()) {
        ranks_[rank].ready = true;
        ranks_[rank].num_pages = static_cast<int>(message.ready().num_pages());
      }
      if (message.has_report()) ranks_[rank].last_step = message.report().step();
      changed_.notify_all();
    }
    if (message.has_report() && !message.report().error().empty()) {
      return absl::UnavailableError(
          absl::StrCat("rank ", rank, " failed: ", message.report().error()));
    }
    if (options_.on_change) options_.on_change();
  }
  return absl::UnavailableError(absl::StrCat("rank ", rank, " is gone: its stream ended"));
}

absl::Status GroupService::WaitAll(bool Rank::* flag, absl::string_view what,
                                   std::chrono::nanoseconds timeout) {
  std::vector<size_t> missing;
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, timeout, [&] {
    missing.clear();
    for (size_t rank = 1; rank < ranks_.size(); ++rank) {
      if (!(ranks_[rank].*flag)) missing.push_back(rank);
    }
    return !health_.ok() || missing.empty();
  });
  if (!health_.ok() || missing.empty()) return health_;
  return absl::DeadlineExceededError(
      absl::StrCat("still waiting for rank ", absl::StrJoin(missing, ", "), " to ", what));
}

absl::Status GroupService::WaitJoined(std::chrono::nanoseconds timeout) {
  return WaitAll(&Rank::joined, "join", timeout);
}

absl::Status GroupService::WaitReady(std::chrono::nanoseconds timeout) {
  return WaitAll(&Rank::ready, "load", timeout);
}

int GroupService::LeastPages(int own_pages) const {
  const std::lock_guard lock(mutex_);
  int least = own_pages;
  for (size_t rank = 1; rank < ranks_.size(); ++rank) {
    least = std::min(least, ranks_[rank].num_pages);
  }
  return least;
}

absl::Status GroupService::Send(const StepPlan& plan) {
  if (ranks_.size() == 1) return absl::OkStatus();
  v1::LeaderMessage message;
  *message.mutable_plan() = ToMessage(plan);
  if (WriteToAll(message)) return absl::OkStatus();
  const absl::Status health = Health();
  return health.ok() ? absl::UnavailableError("a rank is gone: a plan could not be sent") : health;
}

bool GroupService::WriteToAll(const v1::LeaderMessage& message) {
  const std::lock_guard write_lock(write_mutex_);
  bool all = true;
  for (size_t rank = 1; rank < ranks_.size(); ++rank) {
    Stream* const stream = ranks_[rank].stream;  // changes only under write_mutex_
    all &= stream != nullptr && stream->Write(message);
  }
  return all;
}

StepId GroupService::LastStepDoneByAll() const {
  const std::lock_guard lock(mutex_);
  StepId last = kMaxStep;
  for (size_t rank = 1; rank < ranks_.size(); ++rank) last = std::min(last, ranks_[rank].last_step);
  return last;
}

absl::Status GroupService::Health() const {
  const std::lock_guard lock(mutex_);
  return health_;
}

void GroupService::Fail(const absl::Status& reason) {
  {
    const std::lock_guard lock(mutex_);
    if (!health_.ok()) return;
    health_ = reason;
    for (Rank& rank : ranks_) {
      if (rank.context != nullptr) rank.context->TryCancel();
    }
    changed_.notify_all();
  }
  if (options_.on_change) options_.on_change();
}

void GroupService::SendStop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  v1::LeaderMessage message;
  message.mutable_stop();
  WriteToAll(message);
}

}  // namespace sluice::worker
