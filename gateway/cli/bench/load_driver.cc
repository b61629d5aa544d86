// SPDX-License-Identifier: Apache-2.0
#include "gateway/cli/bench/load_driver.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"

namespace sluice::gateway {
namespace {

constexpr std::chrono::milliseconds kWatchInterval{100};
// Of a client in a closed loop. Failures are often immediate, and would come by the ten thousand.
constexpr std::chrono::seconds kPauseAfterRefusal{1};  // where the server does not say
constexpr std::chrono::milliseconds kPauseAfterFailure{100};

BenchClock::duration ToClock(std::chrono::duration<double> seconds) {
  return std::chrono::duration_cast<BenchClock::duration>(seconds);
}

}  // namespace

LoadDriver::LoadDriver(LoadTarget* target, LoadPlan plan, Watcher watcher)
    : target_(target), plan_(std::move(plan)), watcher_(std::move(watcher)) {}

LoadRun LoadDriver::Run() {
  start_ = BenchClock::now();
  if (plan_.requests_per_second.has_value()) {
    arrivals_.emplace(*plan_.requests_per_second, plan_.seed);
    next_due_ = start_ + ToClock(arrivals_->Next());
  }
  for (int i = 0; !arrivals_.has_value() && i < plan_.concurrency; ++i) clients_.push(start_);
  BenchClock::time_point next_watch = start_ + kWatchInterval;
  for (;;) {
    StartWhatIsDue();
    const BenchClock::time_point now = BenchClock::now();
    const BenchClock::time_point next_due = NextDue();
    if (running_.empty() && !MayStart(next_due)) break;
    if (now >= next_watch) {
      next_watch = now + kWatchInterval;
      CutOffTheLate();
      if (!watcher_(Progress())) {
        run_.interrupted = true;
        break;
      }
    }
    target_->Poll(MayStart(next_due) ? std::min(next_due, next_watch) : next_watch);
  }
  if (run_.interrupted) CancelAll();
  run_.totals = Progress();
  return std::move(run_);
}

bool LoadDriver::MayStart(BenchClock::time_point due) const {
  if (plan_.num_requests.has_value() && run_.records.size() >= *plan_.num_requests) return false;
  return !plan_.duration.has_value() || due < start_ + ToClock(*plan_.duration);
}

BenchClock::time_point LoadDriver::NextDue() const {
  if (arrivals_.has_value()) return next_due_;
  return clients_.empty() ? BenchClock::time_point::max() : clients_.top();
}

void LoadDriver::StartWhatIsDue() {
  for (;;) {
    const BenchClock::time_point due = NextDue();
    if (due > BenchClock::now() || !MayStart(due)) return;
    if (arrivals_.has_value()) {
      next_due_ = start_ + ToClock(arrivals_->Next());
    } else {
      clients_.pop();
    }
    StartOne(due);
  }
}

void LoadDriver::StartOne(BenchClock::time_point due) {
  const LoadRequest request = plan_.make_request(run_.records.size());
  RequestRecord* record = &run_.records.emplace_back();
  record->due = due;
  record->asked_prompt_tokens = request.prompt_tokens;
  record->asked_output_tokens = request.max_tokens;
  auto cancel = target_->Start(request, record, [this, record] { TakeEnd(record); });
  running_.emplace(record, Running{std::move(cancel)});
  ++run_.totals.sent;
  run_.totals.peak_running = std::max(run_.totals.peak_running, static_cast<int>(running_.size()));
}

void LoadDriver::TakeEnd(RequestRecord* record) {
  if (running_.at(record).late && record->ending == Ending::kInterrupted) {
    record->Fail("timeout", absl::StrCat("no end after ", plan_.request_timeout.count(), " s"));
  }
  running_.erase(record);
  if (!arrivals_.has_value()) {
    BenchClock::duration pause{};
    if (record->ending == Ending::kFailed) pause = kPauseAfterFailure;
    if (record->ending == Ending::kRefused) {
      pause = record->retry_after_s.has_value()
                  ? ToClock(std::chrono::duration<double>(*record->retry_after_s))
                  : kPauseAfterRefusal;
    }
    clients_.push(record->ended + pause);
  }
  LoadProgress& totals = run_.totals;
  totals.chunks += static_cast<uint64_t>(record->chunks);
  totals.finished += record->ending == Ending::kFinished ? 1 : 0;
  totals.refused += record->ending == Ending::kRefused ? 1 : 0;
  totals.failed += record->ending == Ending::kFailed ? 1 : 0;
}

void LoadDriver::CutOffTheLate() {
  const BenchClock::time_point latest = BenchClock::now() - ToClock(plan_.request_timeout);
  std::vector<std::function<void()>> late;
  for (auto& [record, running] : running_) {
    if (record->sent >= latest || running.late) continue;
    running.late = true;
    late.push_back(running.cancel);
  }
  for (const auto& cancel : late) cancel();
}

LoadProgress LoadDriver::Progress() const {
  LoadProgress progress = run_.totals;
  progress.elapsed = BenchClock::now() - start_;
  progress.running = static_cast<int>(running_.size());
  for (const auto& [record, running] : running_) {
    progress.chunks += static_cast<uint64_t>(record->chunks);
  }
  return progress;
}

void LoadDriver::CancelAll() {
  std::vector<std::function<void()>> cancels;
  cancels.reserve(running_.size());
  for (const auto& [record, running] : running_) cancels.push_back(running.cancel);
  for (const auto& cancel : cancels) cancel();
  // Cancelling is local and quick; a second is for a machine that is very busy.
  const BenchClock::time_point until = BenchClock::now() + std::chrono::seconds(1);
  while (!running_.empty() && BenchClock::now() < until) target_->Poll(until);
  for (const auto& [record, running] : running_) record->ending = Ending::kInterrupted;
}

}  // namespace sluice::gateway
