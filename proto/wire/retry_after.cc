// SPDX-License-Identifier: Apache-2.0
#include "proto/wire/retry_after.h"

#include <algorithm>
#include <cstdint>
#include <string>

#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/types/optional.h"

namespace sluice::wire {
namespace {
constexpr char kPayloadUrl[] = "sluice.dev/retry-after-ms";
}  // namespace

absl::Status WithRetryAfter(absl::Status status, std::chrono::milliseconds wait) {
  const int64_t ms = std::max<int64_t>(0, wait.count());
  status.SetPayload(kPayloadUrl, absl::Cord(absl::StrCat(ms)));
  return status;
}

std::optional<std::chrono::milliseconds> RetryAfter(const absl::Status& status) {
  const absl::optional<absl::Cord> payload = status.GetPayload(kPayloadUrl);
  int64_t ms = 0;
  if (!payload.has_value() || !absl::SimpleAtoi(std::string(*payload), &ms)) return std::nullopt;
  return std::chrono::milliseconds(ms);
}

}  // namespace sluice::wire
