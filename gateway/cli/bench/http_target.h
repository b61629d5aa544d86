// SPDX-License-Identifier: Apache-2.0
// HttpTarget: chat or completions of any OpenAI-compatible server, streamed. Sends no field that
// only Sluice knows unless an option asks for it. Single threaded.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "gateway/cli/bench/load_target.h"
#include "gateway/cli/http_client.h"

namespace sluice::gateway {

enum class HttpEndpoint { kChat, kCompletions };

class HttpTarget : public LoadTarget {
 public:
  // Looks the host up. `url` is the server's root, without /v1. INVALID_ARGUMENT when extra_body is
  // not a JSON object.
  static absl::StatusOr<std::unique_ptr<HttpTarget>> Create(const HttpUrl& url,
                                                            HttpEndpoint endpoint,
                                                            const GenerationSettings& settings);
  ~HttpTarget() override;

  std::function<void()> Start(const LoadRequest& request, RequestRecord* record,
                              std::function<void()> on_end) override;
  void Poll(BenchClock::time_point deadline) override;

  // The JSON that is sent for `request`.
  std::string Body(const LoadRequest& request) const;

 private:
  struct Impl;
  explicit HttpTarget(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace sluice::gateway
