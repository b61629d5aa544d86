// SPDX-License-Identifier: Apache-2.0
#include "gateway/openai/error.h"

#include <gtest/gtest.h>

#include <utility>
#include <vector>

namespace sluice::gateway {
namespace {

TEST(Error, MapsEveryCode) {
  using Code = absl::StatusCode;
  const std::vector<std::pair<Code, int>> expected = {{Code::kOk, 200},
                                                      {Code::kCancelled, 499},
                                                      {Code::kUnknown, 500},
                                                      {Code::kInvalidArgument, 400},
                                                      {Code::kDeadlineExceeded, 504},
                                                      {Code::kNotFound, 404},
                                                      {Code::kAlreadyExists, 500},
                                                      {Code::kPermissionDenied, 403},
                                                      {Code::kResourceExhausted, 429},
                                                      {Code::kFailedPrecondition, 500},
                                                      {Code::kAborted, 500},
                                                      {Code::kOutOfRange, 500},
                                                      {Code::kUnimplemented, 501},
                                                      {Code::kInternal, 500},
                                                      {Code::kUnavailable, 503},
                                                      {Code::kDataLoss, 500},
                                                      {Code::kUnauthenticated, 401}};
  for (const auto& [code, http] : expected) EXPECT_EQ(HttpStatusOf(absl::Status(code, "")), http);
}

TEST(Error, BodyCarriesParamAndCode) {
  const absl::Status status =
      WithErrorCode(FieldError("messages[1].role", "must be \"user\""), "bad_role");
  EXPECT_EQ(
      ErrorBody(status),
      R"({"error":{"message":"messages[1].role must be \"user\"","type":"invalid_request_error",)"
      R"("param":"messages[1].role","code":"bad_role"}})");
  EXPECT_EQ(
      ErrorBody(413, "too big"),
      R"({"error":{"message":"too big","type":"invalid_request_error","param":null,"code":null}})");
  EXPECT_EQ(
      ErrorBody(absl::UnavailableError("no group")),
      R"({"error":{"message":"no group","type":"service_unavailable_error","param":null,"code":null}})");
}

TEST(Error, MessagesThatAreNotUtf8AreRepaired) {
  EXPECT_EQ(ErrorBody(400, "x\xFF"),
            "{\"error\":{\"message\":\"x\xEF\xBF\xBD\",\"type\":\"invalid_request_error\","
            "\"param\":null,\"code\":null}}");
}

}  // namespace
}  // namespace sluice::gateway
