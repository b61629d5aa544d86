// SPDX-License-Identifier: Apache-2.0
// The mapping over all 17 codes, and the waiting time and metadata over a real call.
#include "proto/wire/status.h"

#include <gtest/gtest.h>

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <memory>
#include <string>

#include "proto/wire/metadata.h"
#include "proto/wire/retry_after.h"
#include "sluice/worker/v1/engine.grpc.pb.h"

namespace sluice::wire {
namespace {

using std::chrono::milliseconds;

struct CodePair {
  absl::StatusCode absl_code;
  grpc::StatusCode grpc_code;
};

constexpr CodePair kCodes[] = {
    {absl::StatusCode::kOk, grpc::StatusCode::OK},
    {absl::StatusCode::kCancelled, grpc::StatusCode::CANCELLED},
    {absl::StatusCode::kUnknown, grpc::StatusCode::UNKNOWN},
    {absl::StatusCode::kInvalidArgument, grpc::StatusCode::INVALID_ARGUMENT},
    {absl::StatusCode::kDeadlineExceeded, grpc::StatusCode::DEADLINE_EXCEEDED},
    {absl::StatusCode::kNotFound, grpc::StatusCode::NOT_FOUND},
    {absl::StatusCode::kAlreadyExists, grpc::StatusCode::ALREADY_EXISTS},
    {absl::StatusCode::kPermissionDenied, grpc::StatusCode::PERMISSION_DENIED},
    {absl::StatusCode::kResourceExhausted, grpc::StatusCode::RESOURCE_EXHAUSTED},
    {absl::StatusCode::kFailedPrecondition, grpc::StatusCode::FAILED_PRECONDITION},
    {absl::StatusCode::kAborted, grpc::StatusCode::ABORTED},
    {absl::StatusCode::kOutOfRange, grpc::StatusCode::OUT_OF_RANGE},
    {absl::StatusCode::kUnimplemented, grpc::StatusCode::UNIMPLEMENTED},
    {absl::StatusCode::kInternal, grpc::StatusCode::INTERNAL},
    {absl::StatusCode::kUnavailable, grpc::StatusCode::UNAVAILABLE},
    {absl::StatusCode::kDataLoss, grpc::StatusCode::DATA_LOSS},
    {absl::StatusCode::kUnauthenticated, grpc::StatusCode::UNAUTHENTICATED},
};

TEST(StatusTest, All17CodesMapBothWays) {
  static_assert(std::size(kCodes) == 17);
  for (const CodePair& pair : kCodes) {
    const bool ok = pair.absl_code == absl::StatusCode::kOk;
    const std::string message = ok ? "" : "the reason";
    const grpc::Status to = ToGrpcStatus(absl::Status(pair.absl_code, message));
    EXPECT_EQ(to.error_code(), pair.grpc_code);
    EXPECT_EQ(to.error_message(), message);
    const absl::Status from = FromGrpcStatus(grpc::Status(pair.grpc_code, message));
    EXPECT_EQ(from.code(), pair.absl_code);
    EXPECT_EQ(from.message(), message);
  }
}

TEST(StatusTest, UnknownCodesBecomeUnknown) {
  EXPECT_EQ(ToGrpcStatus(absl::Status(static_cast<absl::StatusCode>(99), "odd")).error_code(),
            grpc::StatusCode::UNKNOWN);
  const absl::Status from = FromGrpcStatus(grpc::Status(static_cast<grpc::StatusCode>(42), "odd"));
  EXPECT_EQ(from.code(), absl::StatusCode::kUnknown);
  EXPECT_EQ(from.message(), "odd");
}

// Answers Cancel with the status it was given, and keeps the metadata it saw.
class FakeEngine final : public sluice::worker::v1::Engine::Service {
 public:
  grpc::Status Cancel(grpc::ServerContext* context, const sluice::worker::v1::CancelRequest*,
                      sluice::worker::v1::CancelResponse*) override {
    request_id = ClientMetadata(*context, kRequestIdMetadata);
    traceparent = ClientMetadata(*context, kTraceparentMetadata);
    return ToGrpcStatus(answer, *context);
  }

  absl::Status answer;
  std::optional<std::string> request_id;
  std::optional<std::string> traceparent;
};

class StatusOverTheWireTest : public testing::Test {
 protected:
  StatusOverTheWireTest() {
    grpc::ServerBuilder builder;
    builder.RegisterService(&engine_);
    server_ = builder.BuildAndStart();
    stub_ = sluice::worker::v1::Engine::NewStub(server_->InProcessChannel({}));
  }

  absl::Status Call(grpc::ClientContext& context) {
    sluice::worker::v1::CancelResponse response;
    return FromGrpcStatus(stub_->Cancel(&context, {}, &response), context);
  }

  FakeEngine engine_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<sluice::worker::v1::Engine::Stub> stub_;
};

TEST_F(StatusOverTheWireTest, WaitingTimeArrives) {
  engine_.answer = WithRetryAfter(absl::ResourceExhaustedError("queue is full"), milliseconds(250));
  grpc::ClientContext context;
  const absl::Status status = Call(context);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(status.message(), "queue is full");
  EXPECT_EQ(RetryAfter(status), milliseconds(250));
}

TEST_F(StatusOverTheWireTest, NoWaitingTimeWithoutOne) {
  engine_.answer = absl::UnavailableError("draining");
  grpc::ClientContext context;
  EXPECT_EQ(RetryAfter(Call(context)), std::nullopt);
}

TEST_F(StatusOverTheWireTest, MetadataIsReadAndOddValuesAreNot) {
  grpc::ClientContext context;
  context.AddMetadata(kRequestIdMetadata, "req-1");
  context.AddMetadata(kTraceparentMetadata, std::string(kMaxMetadataBytes + 1, 'a'));
  EXPECT_TRUE(Call(context).ok());
  EXPECT_EQ(engine_.request_id, "req-1");
  EXPECT_EQ(engine_.traceparent, std::nullopt);
}

}  // namespace
}  // namespace sluice::wire
