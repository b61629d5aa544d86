// SPDX-License-Identifier: Apache-2.0
#include "gateway/backend/worker_pool.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gateway/backend/grpc_worker_client.h"
#include "proto/wire/retry_after.h"

namespace sluice::gateway {

namespace {

// Failing calls ask for a probe at once; a burst of them gets one.
constexpr std::chrono::milliseconds kShortestProbeGap{50};

enum class Standing { kUnknown, kReady, kEjected, kRefused };

struct Group {
  explicit Group(const std::string& address) : client(address) {}

  GrpcWorkerClient client;
  // Guarded by the pool's mutex.
  Standing standing = Standing::kUnknown;
  std::string trouble = "has not answered yet";
  ModelInfo info;
  bool probing = false;
  std::chrono::steady_clock::time_point last_probe;
  bool removed = false;  // its address is gone from DNS
  int silent_probes = 0;
  int running = 0;
  int64_t last_picked = 0;
};

std::string Describe(const ModelInfo& info) {
  return absl::StrCat("serves ", info.model, ", ", info.max_model_len, " tokens of context, TP ",
                      info.tp_size, " on ", info.device);
}

}  // namespace

class WorkerPool::State : public std::enable_shared_from_this<State> {
 public:
  explicit State(WorkerPoolOptions options) : options_(std::move(options)) {
    for (const std::string& address : options_.addresses.fixed) AddLocked(address);
  }

  void Start() {
    prober_ = std::thread([this] { ProbeLoop(); });
    if (!options_.addresses.dns_name.empty()) resolver_ = std::thread([this] { ResolveLoop(); });
  }

  void Stop() {
    {
      std::lock_guard<std::mutex> lock(mu_);
      stopping_ = true;
      changed_.notify_all();
    }
    if (prober_.joinable()) prober_.join();
    if (resolver_.joinable()) resolver_.join();
    for (const auto& group : Groups()) {
      group->client.Stop(absl::UnavailableError("the gateway is shutting down"));
    }
    std::unique_lock<std::mutex> lock(mu_);
    changed_.wait(lock, [this] { return open_ == 0; });
  }

  // Something starts that will call back, and has called back for the last time.
  void Open() {
    std::lock_guard<std::mutex> lock(mu_);
    ++open_;
  }
  void Close() {
    std::lock_guard<std::mutex> lock(mu_);
    if (--open_ == 0) changed_.notify_all();
  }

  // The ready group with the fewest running calls, the longest unpicked among equals; counts the
  // call as running.
  std::shared_ptr<Group> Pick(const std::set<const Group*>& tried) {
    std::lock_guard<std::mutex> lock(mu_);
    if (stopping_) return nullptr;
    std::shared_ptr<Group> best;
    for (const auto& [address, group] : groups_) {
      if (group->standing != Standing::kReady || group->removed || tried.count(group.get()) > 0) {
        continue;
      }
      if (!best || std::make_pair(group->running, group->last_picked) <
                       std::make_pair(best->running, best->last_picked)) {
        best = group;
      }
    }
    if (best) {
      ++best->running;
      best->last_picked = ++picks_;
    }
    return best;
  }

  // A call on the group has ended.
  void Release(const std::shared_ptr<Group>& group, const absl::Status& status) {
    std::lock_guard<std::mutex> lock(mu_);
    --group->running;
    if (absl::IsUnavailable(status) && !stopping_) {
      EjectLocked(*group, std::string(status.message()));
      changed_.notify_all();  // probe soon: it may be back already
    }
  }

  void CountRetry() {
    std::lock_guard<std::mutex> lock(mu_);
    ++retries_;
  }

  // Runs on the pool's thread, so that Generate never calls its observer before it has returned.
  void Post(std::function<void()> task) {
    std::lock_guard<std::mutex> lock(mu_);
    tasks_.push_back(std::move(task));
    changed_.notify_all();
  }

  absl::Status NoneReady() const {
    std::lock_guard<std::mutex> lock(mu_);
    return NoneReadyLocked();
  }

  absl::StatusOr<ModelInfo> GetModelInfo() const {
    std::lock_guard<std::mutex> lock(mu_);
    std::optional<ModelInfo> common;
    for (const auto& [address, group] : groups_) {
      if (group->standing != Standing::kReady || group->removed) continue;
      if (!common) {
        common = group->info;
        continue;
      }
      common->max_model_len = std::min(common->max_model_len, group->info.max_model_len);
      common->max_num_seqs += group->info.max_num_seqs;
    }
    if (!common) return NoneReadyLocked();
    return *std::move(common);
  }

  WorkerPoolStats stats() const {
    std::lock_guard<std::mutex> lock(mu_);
    WorkerPoolStats stats;
    for (const auto& [address, group] : groups_) {
      if (!group->removed) ++stats.known_groups;
      if (group->standing == Standing::kReady && !group->removed) ++stats.ready_groups;
      stats.running_calls += group->running;
    }
    stats.ejections = ejections_;
    stats.retries = retries_;
    return stats;
  }

  void FailRunning(const absl::Status& status) {
    for (const auto& group : Groups()) group->client.FailRunning(status);
  }

 private:
  // For calls of theirs, which must not be made under the lock.
  std::vector<std::shared_ptr<Group>> Groups() const {
    std::lock_guard<std::mutex> lock(mu_);
    std::vector<std::shared_ptr<Group>> groups;
    groups.reserve(groups_.size());
    for (const auto& [address, group] : groups_) groups.push_back(group);
    return groups;
  }

  void AddLocked(const std::string& address) {
    groups_.emplace(address, std::make_shared<Group>(address));
  }

  absl::Status NoneReadyLocked() const {
    if (groups_.empty()) {
      return absl::UnavailableError(
          absl::StrCat("no worker group is ready: ", options_.addresses.dns_name,
                       resolve_trouble_.empty() ? " has no address" : ": " + resolve_trouble_));
    }
    std::string message = "no worker group is ready";
    const char* separator = ": ";
    for (const auto& [address, group] : groups_) {
      absl::StrAppend(&message, separator, address, " ", group->trouble);
      separator = "; ";
    }
    return absl::UnavailableError(message);
  }

  void Tell(WorkerGroupEvent::Kind kind, const Group& group, std::string detail) {
    if (options_.on_event) {
      options_.on_event({kind, group.client.address(), std::move(detail)});
    }
  }

  void EjectLocked(Group& group, std::string why) {
    group.trouble = why;
    if (group.standing == Standing::kEjected) return;
    if (group.standing == Standing::kReady) ++ejections_;
    const bool first = group.standing == Standing::kUnknown;
    group.standing = Standing::kEjected;
    Tell(first ? WorkerGroupEvent::Kind::kAwaited : WorkerGroupEvent::Kind::kEjected, group,
         std::move(why));
    TellReadinessLocked();
  }

  // After every change of a standing.
  void TellReadinessLocked() {
    const bool ready = std::any_of(groups_.begin(), groups_.end(), [](const auto& entry) {
      return entry.second->standing == Standing::kReady && !entry.second->removed;
    });
    if (ready == ready_) return;
    ready_ = ready;
    if (options_.on_readiness) options_.on_readiness(ready);
  }

  void ProbeLoop() {
    std::unique_lock<std::mutex> lock(mu_);
    while (!stopping_) {
      for (const auto& [address, group] : groups_) {
        const auto now = std::chrono::steady_clock::now();
        if (group->probing || group->removed || now - group->last_probe < kShortestProbeGap) {
          continue;
        }
        group->probing = true;
        group->last_probe = now;
        ++open_;
        group->client.Probe(options_.probe_timeout,
                            [state = shared_from_this(), group](absl::StatusOr<ModelInfo> info) {
                              state->OnProbed(*group, std::move(info));
                              state->Close();
                            });
      }
      if (tasks_.empty()) changed_.wait_for(lock, options_.probe_period);
      RunTasks(lock);
    }
    RunTasks(lock);  // every observer gets its OnDone
  }

  void RunTasks(std::unique_lock<std::mutex>& lock) {
    while (!tasks_.empty()) {
      std::function<void()> task = std::move(tasks_.front());
      tasks_.pop_front();
      lock.unlock();
      task();
      lock.lock();
    }
  }

  void OnProbed(Group& group, absl::StatusOr<ModelInfo> info) {
    std::unique_lock<std::mutex> lock(mu_);
    group.probing = false;
    if (stopping_) return;  // it may be Stop that ended it
    if (!info.ok()) {
      const bool silent = absl::IsDeadlineExceeded(info.status());
      group.silent_probes = silent ? group.silent_probes + 1 : 0;
      if (!silent) {
        EjectLocked(group, std::string(info.status().message()));
      } else if (group.silent_probes >= options_.silent_probes_to_eject) {
        EjectLocked(group, absl::StrCat("has not answered ", group.silent_probes, " probes of ",
                                        options_.probe_timeout.count(), " ms"));
      }
      if (group.silent_probes == options_.silent_probes_to_fail_calls) {
        const absl::Status gone = absl::UnavailableError(absl::StrCat(
            "worker group ", group.client.address(), " stopped answering while it was generating"));
        lock.unlock();
        group.client.FailRunning(gone);
      }
      return;
    }
    group.silent_probes = 0;
    group.info = *std::move(info);
    const std::string mismatch = Mismatch(group.info);
    if (!mismatch.empty()) {
      group.trouble = mismatch;
      if (group.standing == Standing::kRefused) return;
      group.standing = Standing::kRefused;
      Tell(WorkerGroupEvent::Kind::kRefused, group, mismatch);
    } else if (group.standing != Standing::kReady) {
      group.standing = Standing::kReady;
      Tell(WorkerGroupEvent::Kind::kReady, group, Describe(group.info));
    }
    TellReadinessLocked();
  }

  std::string Mismatch(const ModelInfo& info) const {
    if (info.tokenizer_sha256 != options_.tokenizer_sha256) {
      return absl::StrCat("has another tokenizer.json (sha256 ", info.tokenizer_sha256,
                          ", the gateway's is ", options_.tokenizer_sha256,
                          "): give both processes the same model folder");
    }
    if (info.vocab_size != options_.vocab_size) {
      return absl::StrCat("has a vocabulary of ", info.vocab_size, " tokens, the gateway's has ",
                          options_.vocab_size, ": give both processes the same model folder");
    }
    return "";
  }

  void ResolveLoop() {
    std::unique_lock<std::mutex> lock(mu_);
    while (!stopping_) {
      lock.unlock();
      absl::StatusOr<std::vector<std::string>> resolved = options_.addresses.Resolve();
      lock.lock();
      if (resolved.ok()) {
        resolve_trouble_.clear();
        TakeResolvedLocked(*resolved);
      } else {
        resolve_trouble_ = std::string(resolved.status().message());  // keep what was known
      }
      // changed_ is the prober's too: being woken early is no reason to ask DNS again.
      const auto until = std::chrono::steady_clock::now() + options_.resolve_period;
      while (!stopping_ && changed_.wait_until(lock, until) != std::cv_status::timeout) {
      }
    }
  }

  void TakeResolvedLocked(const std::vector<std::string>& addresses) {
    for (const std::string& address : addresses) {
      if (groups_.count(address) == 0) AddLocked(address);
      groups_.at(address)->removed = false;
    }
    for (auto entry = groups_.begin(); entry != groups_.end();) {
      Group& group = *entry->second;
      const bool listed =
          std::binary_search(addresses.begin(), addresses.end(), group.client.address());
      if (!listed && !group.removed) {
        group.removed = true;
        Tell(WorkerGroupEvent::Kind::kRemoved, group, "is gone from DNS");
      }
      if (group.removed && group.running == 0 && !group.probing) {
        entry = groups_.erase(entry);
      } else {
        ++entry;
      }
    }
    TellReadinessLocked();
    changed_.notify_all();
  }

  const WorkerPoolOptions options_;
  std::thread prober_;
  std::thread resolver_;

  mutable std::mutex mu_;
  std::condition_variable changed_;
  // Guarded by mu_.
  bool stopping_ = false;
  int open_ = 0;        // calls and probes that have not called back for the last time
  bool ready_ = false;  // as told
  std::map<std::string, std::shared_ptr<Group>> groups_;  // by address
  std::deque<std::function<void()>> tasks_;
  std::string resolve_trouble_;
  int64_t picks_ = 0;
  int64_t ejections_ = 0;
  int64_t retries_ = 0;
};

namespace {

// Whether a group's refusal is of more use to the caller than what is told so far. A full group's
// outranks that of one which is away, for waiting helps; of two full groups, the shorter wait
// counts.
bool SaysMore(const absl::Status& refusal, const absl::Status& told) {
  if (!absl::IsResourceExhausted(told)) return true;
  if (!absl::IsResourceExhausted(refusal)) return false;
  const std::optional<std::chrono::milliseconds> wait = wire::RetryAfter(refusal);
  const std::optional<std::chrono::milliseconds> told_wait = wire::RetryAfter(told);
  return wait && (!told_wait || *wait < *told_wait);
}

// One call over the groups it may take: the caller's hold on it, and the observer of the attempt
// that runs.
class PooledCall final : public GenerateCall,
                         public TokenObserver,
                         public std::enable_shared_from_this<PooledCall> {
 public:
  PooledCall(std::shared_ptr<WorkerPool::State> pool, GenerateRequest request,
             std::shared_ptr<TokenObserver> observer)
      : pool_(std::move(pool)), request_(std::move(request)), observer_(std::move(observer)) {
    pool_->Open();
  }

  // False when there is no group (left) to try. Attempts follow each other: no two threads are in
  // here.
  bool TryNextGroup() {
    group_ = pool_->Pick(tried_);
    if (!group_) return false;
    tried_.insert(group_.get());
    int attempt;
    {
      std::lock_guard<std::mutex> lock(mu_);
      attempt = ++attempt_;
      attempt_call_ = nullptr;
    }
    std::shared_ptr<GenerateCall> call = group_->client.Generate(request_, shared_from_this());
    std::optional<CancelReason> cancelled;
    std::vector<std::pair<int, int>> stops;
    {
      std::lock_guard<std::mutex> lock(mu_);
      // The attempt may have failed already, and the next one may be running.
      if (attempt != attempt_) return true;
      attempt_call_ = call;
      cancelled = cancelled_;
      stops.swap(early_stops_);
    }
    for (const auto& [choice, completion_tokens] : stops) {
      call->StopChoice(choice, completion_tokens);
    }
    if (cancelled) call->Cancel(*cancelled);
    return true;
  }

  void End(absl::Status status) {
    std::shared_ptr<TokenObserver> observer = std::move(observer_);
    observer->OnDone(std::move(status));
    observer = nullptr;
    pool_->Close();
  }

  void Cancel(CancelReason reason) override {
    std::shared_ptr<GenerateCall> call;
    {
      std::lock_guard<std::mutex> lock(mu_);
      cancelled_ = reason;
      call = attempt_call_;
    }
    if (call) call->Cancel(reason);
  }

  void StopChoice(int choice, int completion_tokens) override {
    std::shared_ptr<GenerateCall> call;
    {
      std::lock_guard<std::mutex> lock(mu_);
      call = attempt_call_;
      if (!call) early_stops_.emplace_back(choice, completion_tokens);
    }
    if (call) call->StopChoice(choice, completion_tokens);
  }

  void OnChunk(TokenChunk chunk) override {
    started_ = true;
    observer_->OnChunk(std::move(chunk));
  }

  void OnDone(absl::Status status) override {
    pool_->Release(group_, status);
    bool cancelled;
    {
      std::lock_guard<std::mutex> lock(mu_);
      attempt_call_ = nullptr;
      cancelled = cancelled_.has_value();
    }
    const bool movable = absl::IsUnavailable(status) || absl::IsResourceExhausted(status);
    if (movable && !started_ && !cancelled) {
      if (SaysMore(status, refusal_)) refusal_ = std::move(status);
      if (TryNextGroup()) {
        pool_->CountRetry();
        return;
      }
      status = std::move(refusal_);
    }
    End(std::move(status));
  }

 private:
  const std::shared_ptr<WorkerPool::State> pool_;
  const GenerateRequest request_;
  // Used by one attempt's callbacks at a time.
  std::shared_ptr<TokenObserver> observer_;
  std::shared_ptr<Group> group_;
  std::set<const Group*> tried_;
  bool started_ = false;
  absl::Status refusal_;  // of the groups tried so far, what the caller is told if all refuse

  std::mutex mu_;
  // Guarded by mu_.
  int attempt_ = 0;
  std::shared_ptr<GenerateCall> attempt_call_;
  std::optional<CancelReason> cancelled_;
  // Choice and ids: a chunk can arrive, and stop its choice, before Generate has returned the call.
  std::vector<std::pair<int, int>> early_stops_;
};

}  // namespace

WorkerPool::WorkerPool(WorkerPoolOptions options)
    : state_(std::make_shared<State>(std::move(options))) {
  state_->Start();
}

WorkerPool::~WorkerPool() { Stop(); }

void WorkerPool::Stop() { state_->Stop(); }

std::shared_ptr<GenerateCall> WorkerPool::Generate(GenerateRequest request,
                                                   std::shared_ptr<TokenObserver> observer) {
  auto call = std::make_shared<PooledCall>(state_, std::move(request), std::move(observer));
  if (!call->TryNextGroup()) {
    state_->Post([call, status = state_->NoneReady()] { call->End(status); });
  }
  return call;
}

absl::StatusOr<ModelInfo> WorkerPool::GetModelInfo() const { return state_->GetModelInfo(); }

WorkerPoolStats WorkerPool::stats() const { return state_->stats(); }

void WorkerPool::FailRunning(const absl::Status& status) { state_->FailRunning(status); }

}  // namespace sluice::gateway
