// SPDX-License-Identifier: Apache-2.0
#include "worker/service/launcher.h"

#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <memory>
#include <optional>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "proto/wire/status_macros.h"
#include "worker/service/rank_process.h"

namespace sluice::worker {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds kFirstBackoff{1000};
constexpr milliseconds kMostBackoff{30'000};
// A group that has served this long starts over with the first backoff.
constexpr milliseconds kHealthyTime{60'000};
// What survivors get to end by themselves when one rank has died.
constexpr milliseconds kAbortGrace{2000};
// Beyond the drain, for the leader's own end.
constexpr milliseconds kStopGrace{10'000};

// What the leader says through its pipe, line by line.
class Announcements {
 public:
  Announcements() {
    if (pipe2(fds_, O_CLOEXEC) != 0) fds_[0] = fds_[1] = -1;
    fcntl(fds_[0], F_SETFL, O_NONBLOCK);
  }
  ~Announcements() {
    close(fds_[0]);
    CloseWriter();
  }
  Announcements(const Announcements&) = delete;
  Announcements& operator=(const Announcements&) = delete;

  int reader() const { return ended_ ? -1 : fds_[0]; }
  int writer() const { return fds_[1]; }
  void CloseWriter() {
    if (fds_[1] >= 0) close(fds_[1]);
    fds_[1] = -1;
  }

  void Read() {
    char buffer[512];
    ssize_t size = 0;
    while ((size = read(fds_[0], buffer, sizeof(buffer))) > 0) {
      text_.append(buffer, static_cast<size_t>(size));
    }
    if (size == 0) ended_ = true;
    for (absl::string_view line : absl::StrSplit(text_, '\n')) {
      if (absl::StartsWith(line, "listening ") && text_.find('\n') != std::string::npos) {
        listening = std::string(line);
      }
      if (line == "ready") ready = true;
    }
  }

  std::string listening;  // the whole line, or empty
  bool ready = false;

 private:
  int fds_[2];
  std::string text_;
  bool ended_ = false;
};

// The value of "key=" in a listening line.
std::string Field(const std::string& line, absl::string_view key) {
  for (absl::string_view word : absl::StrSplit(line, ' ')) {
    if (absl::ConsumePrefix(&word, key)) return std::string(word);
  }
  return "";
}

std::string PortOf(const std::string& address) { return address.substr(address.rfind(':') + 1); }

class Launcher {
 public:
  Launcher(const WorkerOptions& options, const std::vector<std::string>& arguments, WakeUp& wake_up)
      : options_(options),
        arguments_(arguments),
        wake_up_(wake_up),
        grpc_port_(absl::StrCat(options.grpc_port)),
        metrics_port_(absl::StrCat(options.metrics_port)) {}

  int Run();

 private:
  // Runs one group from start to end. Nothing: it broke and should be started again.
  std::optional<int> RunGroup();
  absl::Status StartRank(int rank);
  void ReadAnnouncements();
  // Starts the ranks that wait for the leader's address once it is known.
  absl::Status StartFollowers();
  std::optional<int> OnDeath(RankProcess& dead);
  // Nothing, which starts the group again, if one has ever served. What failed from the start will
  // fail again: then the code to end with.
  std::optional<int> CodeAfterFailure(int code) const;
  int Stop();
  void KillGroup(milliseconds grace);
  // Waits for children, announcements or a signal; remembers a signal to stop.
  void Wait(milliseconds timeout);

  const WorkerOptions& options_;
  const std::vector<std::string>& arguments_;
  WakeUp& wake_up_;
  std::string grpc_port_;     // what the system picked stays
  std::string metrics_port_;  // of rank 0
  std::unique_ptr<Announcements> announcements_;
  std::vector<std::unique_ptr<RankProcess>> ranks_;
  std::string leader_;
  bool announced_ = false;
  bool was_ready_ = false;  // this or an earlier group
  int stop_signals_ = 0;    // SIGTERM and SIGINT so far
  steady_clock::time_point ready_since_{};
};

int Launcher::Run() {
  milliseconds backoff = kFirstBackoff;
  for (;;) {
    ready_since_ = {};
    if (const std::optional<int> code = RunGroup()) return *code;
    const bool healthy = ready_since_ != steady_clock::time_point{} &&
                         steady_clock::now() - ready_since_ >= kHealthyTime;
    if (healthy) backoff = kFirstBackoff;
    spdlog::warn("starting the group again in {} ms", backoff.count());
    const auto until = steady_clock::now() + backoff;
    while (stop_signals_ == 0 && steady_clock::now() < until) {
      Wait(std::chrono::duration_cast<milliseconds>(until - steady_clock::now()) + milliseconds(1));
    }
    if (stop_signals_ > 0) return kExitOk;
    backoff = std::min(backoff * 2, kMostBackoff);
  }
}

std::optional<int> Launcher::RunGroup() {
  ranks_.clear();
  leader_.clear();
  announcements_ = std::make_unique<Announcements>();
  absl::Status started = StartRank(0);
  announcements_->CloseWriter();
  while (started.ok()) {
    Wait(milliseconds(1000));
    if (stop_signals_ > 0) return Stop();
    ReadAnnouncements();
    if (leader_.empty() && !announcements_->listening.empty()) started = StartFollowers();
    const auto dead = std::find_if(ranks_.begin(), ranks_.end(),
                                   [](const auto& rank) { return rank->HasEnded(); });
    if (dead != ranks_.end()) return OnDeath(**dead);
  }
  spdlog::error("{}", std::string(started.message()));
  KillGroup(milliseconds(0));
  return CodeAfterFailure(kExitFailure);
}

void Launcher::ReadAnnouncements() {
  announcements_->Read();
  if (!announcements_->ready || ready_since_ != steady_clock::time_point{}) return;
  ready_since_ = steady_clock::now();
  was_ready_ = true;
}

absl::Status Launcher::StartRank(int rank) {
  std::vector<std::string> arguments = arguments_;
  // The last flag of a name wins, so these override the launcher's own.
  arguments.push_back(absl::StrCat("--rank=", rank));
  arguments.push_back(absl::StrCat("--device=", DeviceName(options_.device)));
  const bool picked = options_.metrics_port == 0;
  if (rank == 0) {
    arguments.push_back(absl::StrCat("--announce-fd=", announcements_->writer()));
    arguments.push_back(absl::StrCat("--grpc-port=", grpc_port_));
    arguments.push_back(absl::StrCat("--metrics-port=", metrics_port_));
  } else {
    arguments.push_back(absl::StrCat("--leader=", leader_));
    // Ranks add their number to the flag; only rank 0's picked port must stay.
    if (picked) arguments.push_back("--metrics-port=0");
  }
  SLUICE_ASSIGN_OR_RETURN(
      auto process, RankProcess::Start(rank, arguments, rank == 0 ? announcements_->writer() : -1));
  ranks_.push_back(std::move(process));
  return absl::OkStatus();
}

absl::Status Launcher::StartFollowers() {
  const std::string& line = announcements_->listening;
  leader_ = Field(line, "grpc=");
  if (options_.grpc_port == 0) grpc_port_ = PortOf(leader_);
  if (options_.metrics_port == 0) metrics_port_ = PortOf(Field(line, "metrics="));
  if (!announced_) {
    std::printf("%s\n", line.c_str());
    std::fflush(stdout);
    announced_ = true;
  }
  for (int rank = 1; rank < options_.tp_size; ++rank) SLUICE_RETURN_IF_ERROR(StartRank(rank));
  return absl::OkStatus();
}

std::optional<int> Launcher::OnDeath(RankProcess& dead) {
  const int code = dead.exit_code();
  spdlog::error("rank {} {}; ending the group", dead.rank(), dead.HowItEnded());
  KillGroup(kAbortGrace);
  ReadAnnouncements();  // the group may have become ready just before
  return CodeAfterFailure(code == kExitConfiguration ? kExitConfiguration : kExitFailure);
}

std::optional<int> Launcher::CodeAfterFailure(int code) const {
  if (was_ready_) return std::nullopt;
  spdlog::error("the group failed before it first served; not starting it again");
  return code;
}

int Launcher::Stop() {
  spdlog::info("stopping the group");
  if (ranks_.empty()) return kExitOk;
  // The leader drains, then tells the others.
  ranks_.front()->Signal(SIGTERM);
  KillGroup(options_.drain_timeout + kStopGrace);
  return ranks_.front()->exit_code() == kExitOk ? kExitOk : kExitFailure;
}

void Launcher::KillGroup(milliseconds grace) {
  const auto until = steady_clock::now() + grace;
  const auto all_ended = [this] {
    // Each one is reaped: no short circuit.
    bool all = true;
    for (const auto& rank : ranks_) all &= rank->HasEnded();
    return all;
  };
  // Whoever asks twice does not want to wait.
  while (!all_ended() && steady_clock::now() < until && stop_signals_ < 2) Wait(milliseconds(100));
  for (const auto& rank : ranks_) rank->Signal(SIGKILL);
  while (!all_ended()) Wait(milliseconds(100));
}

void Launcher::Wait(milliseconds timeout) {
  const std::optional<int> woken = wake_up_.Wait(timeout, announcements_->reader());
  if (woken == SIGTERM || woken == SIGINT) ++stop_signals_;
}

}  // namespace

int RunLauncher(const WorkerOptions& options, const std::vector<std::string>& arguments,
                WakeUp& wake_up) {
  return Launcher(options, arguments, wake_up).Run();
}

}  // namespace sluice::worker
