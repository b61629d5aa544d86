// SPDX-License-Identifier: Apache-2.0
// RankGroup: the leader's hold on the other ranks. The engine declares what it needs; service
// implements it over the ranks' Join streams, tests with a fake. The engine loop is the only caller
// of Send.
#pragma once

#include <limits>

#include "absl/status/status.h"
#include "worker/base/ids.h"
#include "worker/base/step_plan.h"

namespace sluice::worker {

inline constexpr StepId kMaxStep = std::numeric_limits<StepId>::max();

class RankGroup {
 public:
  virtual ~RankGroup() = default;

  // Ships a plan to every other rank; does not wait for it to run. An error means that a rank is
  // gone: the group cannot go on.
  virtual absl::Status Send(const StepPlan& plan) = 0;

  // The last step that every other rank has reported; kMaxStep for a group of one. Thread safe.
  virtual StepId LastStepDoneByAll() const = 0;

  // OK while every rank is joined and no report carried an error. Thread safe.
  virtual absl::Status Health() const = 0;
};

// For tp-size 1: nobody to send to.
class SingleRankGroup final : public RankGroup {
 public:
  absl::Status Send(const StepPlan&) override { return absl::OkStatus(); }
  StepId LastStepDoneByAll() const override { return kMaxStep; }
  absl::Status Health() const override { return absl::OkStatus(); }
};

}  // namespace sluice::worker
