// SPDX-License-Identifier: Apache-2.0
#include "proto/wire/status.h"

#include <chrono>
#include <cstdint>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "proto/wire/metadata.h"
#include "proto/wire/retry_after.h"

namespace sluice::wire {
namespace {

// Both libraries took the numbers of google.rpc.Code: 0 to 16. The test walks all 17.
constexpr int kLargestCode = 16;
static_assert(static_cast<int>(absl::StatusCode::kUnauthenticated) == kLargestCode);
static_assert(static_cast<int>(grpc::StatusCode::UNAUTHENTICATED) == kLargestCode);

}  // namespace

grpc::Status ToGrpcStatus(const absl::Status& status) {
  const int code = status.raw_code();
  if (code == 0) return grpc::Status::OK;
  const std::string message(status.message());
  if (code < 0 || code > kLargestCode) {
    return grpc::Status(grpc::StatusCode::UNKNOWN, message);
  }
  return grpc::Status(static_cast<grpc::StatusCode>(code), message);
}

absl::Status FromGrpcStatus(const grpc::Status& status) {
  const int code = static_cast<int>(status.error_code());
  if (code == 0) return absl::OkStatus();
  if (code < 0 || code > kLargestCode) return absl::UnknownError(status.error_message());
  return absl::Status(static_cast<absl::StatusCode>(code), status.error_message());
}

grpc::Status ToGrpcStatus(const absl::Status& status, grpc::ServerContextBase& context) {
  if (const auto wait = RetryAfter(status); wait.has_value()) {
    context.AddTrailingMetadata(kRetryAfterMetadata, absl::StrCat(wait->count()));
  }
  return ToGrpcStatus(status);
}

absl::Status FromGrpcStatus(const grpc::Status& status, const grpc::ClientContext& context) {
  absl::Status result = FromGrpcStatus(status);
  if (result.ok()) return result;
  const auto& trailing = context.GetServerTrailingMetadata();
  const auto found = trailing.find(kRetryAfterMetadata);
  if (found == trailing.end()) return result;
  int64_t ms = 0;
  const absl::string_view text(found->second.data(), found->second.size());
  // A peer's nonsense is no reason to lose its status.
  if (!absl::SimpleAtoi(text, &ms) || ms < 0) return result;
  return WithRetryAfter(std::move(result), std::chrono::milliseconds(ms));
}

}  // namespace sluice::wire
