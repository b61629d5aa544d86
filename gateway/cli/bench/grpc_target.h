// SPDX-License-Identifier: Apache-2.0
// GrpcTarget: sluice.v1.Inference/Chat, streamed. Calls are spread over a few connections, since
// one HTTP/2 connection is one thread's work for many servers. Single threaded.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "gateway/cli/bench/load_target.h"

namespace sluice::gateway {

class GrpcTarget : public LoadTarget {
 public:
  // `address` is host:port; connecting happens with the first calls.
  GrpcTarget(const std::string& address, const GenerationSettings& settings);
  // Cancels what runs; its on_end is not called.
  ~GrpcTarget() override;

  std::function<void()> Start(const LoadRequest& request, RequestRecord* record,
                              std::function<void()> on_end) override;
  void Poll(BenchClock::time_point deadline) override;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sluice::gateway
