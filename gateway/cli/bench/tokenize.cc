// SPDX-License-Identifier: Apache-2.0
#include "gateway/cli/bench/tokenize.h"

#include <nlohmann/json.hpp>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace sluice::gateway {

absl::StatusOr<int64_t> CountTokens(const HttpUrl& url, HttpEndpoint endpoint,
                                    const GenerationSettings& settings, const std::string& text,
                                    int interrupt_fd) {
  using Json = nlohmann::ordered_json;
  Json body = {{"model", settings.model}};
  if (endpoint == HttpEndpoint::kCompletions) {
    body["prompt"] = text;
  } else {
    body["messages"] = {{{"role", "user"}, {"content", text}}};
    // What the requests will say of the template counts, too.
    const Json extra = Json::parse(settings.extra_body, nullptr, /*allow_exceptions=*/false);
    for (const char* name : {"chat_template_kwargs", "enable_thinking"}) {
      if (extra.contains(name)) body[name] = extra[name];
    }
  }
  HttpLimits limits;
  limits.silence = std::chrono::seconds(10);
  limits.interrupt_fd = interrupt_fd;
  std::string answer;
  const absl::StatusOr<int> status =
      Fetch({url, "/tokenize", body.dump(), settings.api_key}, limits,
            [&answer](int, std::string_view piece) { answer.append(piece); });
  if (!status.ok()) return status.status();
  const Json parsed = Json::parse(answer, nullptr, /*allow_exceptions=*/false);
  if (*status == 200 && parsed.is_object() && parsed.contains("count") &&
      parsed["count"].is_number_integer()) {
    return parsed["count"].get<int64_t>();
  }
  return absl::UnimplementedError(absl::StrCat("/tokenize answered ", *status));
}

}  // namespace sluice::gateway
