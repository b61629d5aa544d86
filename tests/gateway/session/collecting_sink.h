// SPDX-License-Identifier: Apache-2.0
// A DeltaSink that keeps what it gets. Fails the test on a delta after the end or a second end.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "gateway/session/delta_sink.h"

namespace sluice::gateway::testing {

class CollectingSink final : public DeltaSink {
 public:
  void OnDelta(ChoiceDelta delta) override {
    EXPECT_FALSE(end.has_value()) << "a delta after the end";
    JoinDelta(delta, choices[delta.choice]);
    deltas.push_back(std::move(delta));
    if (on_delta) on_delta();
  }
  void OnEnd(absl::Status status, ResponseUsage total) override {
    EXPECT_FALSE(end.has_value()) << "a second end";
    end = std::move(status);
    usage = total;
  }

  std::vector<ChoiceDelta> deltas;
  std::map<int, ChoiceDelta> choices;  // joined
  std::optional<absl::Status> end;
  ResponseUsage usage;
  std::function<void()> on_delta;
};

}  // namespace sluice::gateway::testing
