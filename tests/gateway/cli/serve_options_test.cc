// SPDX-License-Identifier: Apache-2.0
#include "gateway/cli/serve_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sluice::gateway {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(ServeOptionsTest, EachServerGetsItsOwn) {
  const auto options = ParseServeOptions({"dir", "--tp-size", "2", "--served-model-name=m",
                                          "--sampling-defaults=mode", "--http-port=0"});
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_THAT(options->worker_args,
              ElementsAre("--model=dir", "--tp-size=2", "--served-model-name=m"));
  EXPECT_THAT(options->gateway_args,
              ElementsAre("--model=dir", "--served-model-name=m", "--sampling-defaults=mode"));
  EXPECT_EQ(options->http.number, 0);
  EXPECT_EQ(options->grpc.number, 50051);
  EXPECT_FALSE(options->grpc.given);
}

TEST(ServeOptionsTest, AFileMayNameTheModel) {
  const auto options = ParseServeOptions({"--config=f.yaml", "--max-unsent-bytes=70000"});
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->model, "the model of f.yaml");
  EXPECT_THAT(options->worker_args, ElementsAre("--config=f.yaml"));
  EXPECT_THAT(options->gateway_args, ElementsAre("--config=f.yaml", "--max-unsent-bytes=70000"));
  EXPECT_EQ(ParseServeOptions({"dir", "--config=f.yaml"})->model, "dir");
}

TEST(ServeOptionsTest, NamesWhatIsWrong) {
  EXPECT_THAT(std::string(ParseServeOptions({}).status().message()), HasSubstr("MODEL_DIR"));
  EXPECT_THAT(std::string(ParseServeOptions({"a", "b"}).status().message()),
              HasSubstr("'a' and 'b'"));
  EXPECT_THAT(std::string(ParseServeOptions({"a", "--http-port=70000"}).status().message()),
              HasSubstr("--http-port must be a port from 0 to 65535, not '70000'"));
  EXPECT_FALSE(ParseServeOptions({"a", "--grpc-port=x"}).ok());
  EXPECT_THAT(std::string(ParseServeOptions({"a", "--tp-siz=2"}).status().message()),
              HasSubstr("did you mean --tp-size?"));
}

TEST(ServeOptionsTest, HelpNeedsNoFolder) {
  EXPECT_TRUE(ParseServeOptions({"--help"})->help);
  EXPECT_THAT(ServeHelp(), HasSubstr("--tp-size"));
  EXPECT_THAT(CheckHelp(), HasSubstr("--tp-size"));
}

}  // namespace
}  // namespace sluice::gateway
