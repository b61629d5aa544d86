// SPDX-License-Identifier: Apache-2.0
// The engine at ten times what it can finish, over an executor whose steps take modelled time on a
// virtual clock. Requests arrive while steps run, on the engine's own thread, so every run is the
// same: who is refused and with what, that the others end once and whole, that what waits is
// bounded, that priorities hold, and that nothing is left when it is over.
#include <thread>

#include "proto/wire/retry_after.h"
#include "tests/worker/engine/engine_fixture.h"

namespace sluice::worker {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using testing::HasSubstr;

constexpr int kRows = 8;
constexpr int kQueued = 16;

// Runs the fake's steps; each takes a base time and more for each token.
class ModelledExecutor final : public Executor {
 public:
  ModelledExecutor(FakeExecutor& inner, FakeClock& clock) : inner_(inner), clock_(clock) {}

  int num_pages() const override { return inner_.num_pages(); }
  absl::Status Submit(StepPlan plan) override {
    microseconds cost(5000);
    for (const RowStep& row : plan.rows) cost += row.num_tokens() * microseconds(500);
    costs_.push_back(cost);
    return inner_.Submit(std::move(plan));
  }
  absl::StatusOr<StepResult> Collect(StepId step) override {
    clock_.Advance(costs_.front());
    costs_.pop_front();
    if (during_step) during_step();
    return inner_.Collect(step);
  }

  // What the world does while a step runs. Set before the engine starts.
  std::function<void()> during_step;

 private:
  FakeExecutor& inner_;
  FakeClock& clock_;
  std::deque<microseconds> costs_;
};

// Keeps the extremes of what steps began with.
class ExtremesOfLoad final : public EngineEvents {
 public:
  void OnStep(const StepStats& stats) override {
    const SchedulerLoad& load = stats.load;
    most_running = std::max(most_running, load.running);
    most_sequences = std::max(most_sequences, load.running + load.waiting);
    most_waiting_tokens = std::max(most_waiting_tokens, load.waiting_tokens);
    preemptions = load.preemptions;
    EXPECT_LE(load.pages_used + load.pages_cached + load.pages_retired, load.pages_total);
  }
  void OnIdle(const SchedulerLoad& load) override { idle = load; }
  void OnRequestDone(const RequestStats& stats) override { ended.push_back(stats); }
  void OnRefused(const absl::Status&) override { ++refused; }
  void OnBadLogits() override { ADD_FAILURE(); }

  int most_running = 0;
  int most_sequences = 0;
  int64_t most_waiting_tokens = 0;
  int64_t preemptions = 0;
  int refused = 0;
  SchedulerLoad idle;
  std::vector<RequestStats> ended;
};

struct Offer {
  Clock::TimePoint at;
  EngineRequest request;
  absl::StatusOr<RequestHandle> answer = absl::UnknownError("not offered yet");
  std::shared_ptr<RecordingSink> sink = std::make_shared<RecordingSink>();
};

class OverloadTest : public EngineFixture {
 public:
  // The fixture's engine uses this class's executor and events.
  ~OverloadTest() override { engine_.reset(); }

 protected:
  static EngineOptions Options() {
    EngineOptions options = EngineFixture::Options();
    options.bounds.max_sequences = kQueued;
    return options;
  }

  // Three pages each: a prompt of most of one, an answer that grows into two more.
  static EngineRequest MakeRequest(size_t number) {
    const auto first = static_cast<TokenId>(number % kFakeVocab);
    return Request(std::to_string(number), std::vector<TokenId>(50, first), 100);
  }

  // As many requests as there are, one each `interval`.
  std::vector<Offer> Offers(size_t count, std::chrono::nanoseconds interval) const {
    std::vector<Offer> offers(count);
    for (size_t i = 0; i < count; ++i) {
      offers[i].at = clock_.Now() + static_cast<int64_t>(i) * interval;
      offers[i].request = MakeRequest(i);
    }
    return offers;
  }

  // Offers each at its time, and returns once all that were accepted have ended.
  void Run(EngineOptions options, std::vector<Offer>& offers) {
    size_t next = 0;
    const auto offer_due = [&] {
      for (; next < offers.size() && offers[next].at <= clock_.Now(); ++next) {
        Offer& offer = offers[next];
        offer.answer = engine_->Submit(offer.request, offer.sink);
      }
    };
    Make(std::move(options));
    executor_of_time_.during_step = offer_due;
    offer_due();
    engine_->Start();
    EXPECT_TRUE(engine_->WaitIdle(std::chrono::minutes(1)));
    EXPECT_EQ(next, offers.size()) << "it ran out of work, so this was no overload";
    engine_->Stop();
  }

  void Make(EngineOptions options) {
    engine_ =
        std::make_unique<Engine>(std::move(options), executor_of_time_, group_, extremes_, clock_);
  }

  // Requests a second when as many are kept inside as fit, and none is refused.
  static double PeakRate(const EngineOptions& options) {
    FakeExecutor fake;
    FakeClock clock;
    FakeGroup group;
    ExtremesOfLoad extremes;
    ModelledExecutor executor(fake, clock);
    Engine engine(options, executor, group, extremes, clock);
    constexpr size_t kRequests = 300;
    size_t submitted = 0;
    const auto fill = [&] {
      while (submitted < kRequests && submitted - extremes.ended.size() < kRows + kQueued) {
        EXPECT_TRUE(engine.Submit(MakeRequest(submitted), std::make_shared<RecordingSink>()).ok());
        ++submitted;
      }
    };
    const Clock::TimePoint start = clock.Now();
    executor.during_step = fill;
    fill();
    engine.Start();
    EXPECT_TRUE(engine.WaitIdle(std::chrono::minutes(1)));
    engine.Stop();
    EXPECT_EQ(extremes.ended.size(), kRequests);
    return kRequests / std::chrono::duration<double>(clock.Now() - start).count();
  }

  // Each offer was answered as it must be; returns how many were accepted.
  static size_t CheckAnswers(const std::vector<Offer>& offers) {
    size_t accepted = 0;
    for (const Offer& offer : offers) {
      if (!offer.answer.ok()) {
        EXPECT_EQ(offer.answer.status().code(), absl::StatusCode::kResourceExhausted);
        const auto wait = wire::RetryAfter(offer.answer.status());
        EXPECT_TRUE(wait && *wait > milliseconds(0) && *wait <= milliseconds(30'000));
        EXPECT_EQ(offer.sink->num_done(), 0) << "a refused request's sink is never called";
        continue;
      }
      ++accepted;
      EXPECT_EQ(offer.sink->num_done(), 1);
      EXPECT_TRUE(offer.sink->Wait().ok());
      const EngineRequest& request = offer.request;
      EXPECT_EQ(offer.sink->ids(), Continuation(request.prompt, request.params.max_tokens));
    }
    return accepted;
  }

  // As at the start: nothing held, and exactly as many fit as before.
  void CheckThatNothingIsLeft() const {
    const SchedulerLoad& idle = extremes_.idle;
    EXPECT_EQ(idle.running, 0);
    EXPECT_EQ(idle.waiting, 0);
    EXPECT_EQ(idle.waiting_tokens, 0);
    EXPECT_EQ(idle.free_rows, kRows);
    EXPECT_EQ(idle.pages_used, 0);
    EXPECT_EQ(idle.pages_retired, 0);
  }

  ExtremesOfLoad extremes_;
  ModelledExecutor executor_of_time_{executor_, clock_};
};

TEST_F(OverloadTest, RefusesTheSurplusAndFinishesTheRestAtItsPeakRate) {
  for (const int pages : {64, 13}) {
    SCOPED_TRACE(pages);
    EngineOptions options = Options();
    options.scheduler.num_pages = pages;  // 13: they do not hold what runs until it ends
    const double peak = PeakRate(options);
    std::vector<Offer> offers =
        Offers(2000, std::chrono::nanoseconds(static_cast<int64_t>(1e9 / peak / 10)));
    extremes_ = ExtremesOfLoad();
    const Clock::TimePoint start = clock_.Now();
    Run(options, offers);
    const double seconds = std::chrono::duration<double>(clock_.Now() - start).count();
    const size_t accepted = CheckAnswers(offers);

    EXPECT_GT(accepted / seconds, 0.9 * peak);
    EXPECT_EQ(extremes_.ended.size(), accepted);
    EXPECT_EQ(static_cast<size_t>(extremes_.refused), offers.size() - accepted);
    EXPECT_GT(extremes_.refused, 1600) << "about nine of ten";
    EXPECT_LE(extremes_.most_running, kRows);
    EXPECT_LE(extremes_.most_sequences, kRows + kQueued);
    EXPECT_LE(extremes_.most_waiting_tokens, (kRows + kQueued) * 150);
    EXPECT_EQ(extremes_.preemptions > 0, pages == 13) << "the case that is meant";
    CheckThatNothingIsLeft();
  }
}

TEST_F(OverloadTest, AfterwardsExactlyAsManyFitAsBefore) {
  Make(Options());
  std::vector<std::shared_ptr<RecordingSink>> sinks;
  size_t number = 0;
  const auto fill = [&] {
    int taken = 0;
    // Held in the first step, so that nothing ends meanwhile.
    for (; taken < 100; ++taken, ++number) {
      sinks.push_back(std::make_shared<RecordingSink>());
      if (!engine_->Submit(MakeRequest(number), sinks.back()).ok()) break;
    }
    return taken;
  };
  std::vector<int> taken;
  for (int round = 0; round < 3; ++round) {
    executor_.HoldAfter(0);
    if (round == 0) engine_->Start();
    taken.push_back(fill());
    executor_.Release();
    EXPECT_TRUE(engine_->WaitIdle(std::chrono::minutes(1)));
  }
  EXPECT_THAT(taken, testing::Each(kRows + kQueued));
}

// Whoever hears of an end may ask again at once: a closed loop of as many clients as fit is never
// refused.
TEST_F(OverloadTest, TheRoomOfARequestIsThereWhenItsEndIsTold) {
  class AskingAgain final : public TokenSink {
   public:
    explicit AskingAgain(std::function<void()> on_done) : on_done_(std::move(on_done)) {}
    void OnChunk(ChoiceChunk) override {}
    void OnDone(const absl::Status&) override { on_done_(); }

   private:
    const std::function<void()> on_done_;
  };
  Make(Options());
  int submitted = 0;
  std::vector<absl::Status> refusals;
  // From another thread than the engine's, which waits: what the caller finds is exactly what the
  // engine has published before it told of the end.
  std::function<void()> ask = [&] {
    std::thread([&] {
      if (submitted == 200) return;
      const auto answer = engine_->Submit(MakeRequest(static_cast<size_t>(submitted++)),
                                          std::make_shared<AskingAgain>(ask));
      if (!answer.ok()) refusals.push_back(answer.status());
    }).join();
  };
  for (int i = 0; i < kRows + kQueued; ++i) ask();
  engine_->Start();
  EXPECT_TRUE(engine_->WaitIdle(std::chrono::minutes(1)));
  engine_->Stop();
  EXPECT_EQ(submitted, 200);
  EXPECT_TRUE(refusals.empty()) << refusals.size() << ", first " << refusals[0];
}

TEST_F(OverloadTest, PrioritiesHold) {
  EngineOptions options = Options();
  std::vector<Offer> offers =
      Offers(2000, std::chrono::nanoseconds(static_cast<int64_t>(1e9 / PeakRate(options) / 10)));
  std::map<std::string, Clock::TimePoint> arrivals;
  for (size_t i = 0; i < offers.size(); ++i) {
    offers[i].request.priority = i % 5 == 0 ? 1 : 0;
    arrivals[offers[i].request.id] = offers[i].at;
  }
  Run(options, offers);
  CheckAnswers(offers);
  struct Times {
    Clock::TimePoint arrival;
    Clock::TimePoint start;
  };
  std::map<int, std::vector<Times>> by_priority;
  for (const RequestStats& stats : extremes_.ended) {
    const size_t number = std::stoul(stats.id);
    const Clock::TimePoint arrival = offers[number].at;
    by_priority[offers[number].request.priority].push_back({arrival, arrival + *stats.queue_time});
  }
  ASSERT_GT(by_priority[0].size(), 20u);
  ASSERT_GT(by_priority[1].size(), 20u);
  // A step and its successor may be planned before an arrival is known.
  constexpr milliseconds kTwoSteps(2 * (5 + 16));
  for (const Times& low : by_priority[0]) {
    for (const Times& high : by_priority[1]) {
      if (high.arrival + kTwoSteps < low.start) {
        EXPECT_LE(high.start, low.start) << "one of higher priority waited longer";
      }
    }
  }
}

TEST_F(OverloadTest, WaitingPromptIdsAreBoundedToo) {
  EngineOptions options = Options();
  options.bounds = {.max_sequences = 1000, .max_tokens = 400};
  std::vector<Offer> offers = Offers(500, milliseconds(2));
  Run(options, offers);
  const size_t accepted = CheckAnswers(offers);
  EXPECT_GT(accepted, 10u);
  EXPECT_LT(accepted, 100u);
  EXPECT_LE(extremes_.most_waiting_tokens, 400);
  EXPECT_GT(extremes_.most_waiting_tokens, 300) << "the bound is used";
  CheckThatNothingIsLeft();
}

TEST_F(OverloadTest, MoreChoicesThanEverFitAreTheClientsMistake) {
  Make(Options());
  engine_->Start();
  EngineRequest request = MakeRequest(1);
  request.n = kRows + kQueued;
  EXPECT_TRUE(engine_->Submit(request, std::make_shared<RecordingSink>()).ok());
  EXPECT_TRUE(engine_->WaitIdle(std::chrono::minutes(1)));
  request.n = kRows + kQueued + 1;
  const auto refused = engine_->Submit(request, std::make_shared<RecordingSink>());
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kInvalidArgument)
      << "waiting would never help";
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("n: 25 choices"));
}

}  // namespace
}  // namespace sluice::worker
