// SPDX-License-Identifier: Apache-2.0
#include "gateway/cli/bench/bench_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace sluice::gateway {
namespace {

using ::testing::HasSubstr;

std::string Wrong(const std::vector<std::string>& args) {
  const auto options = ParseBenchOptions(args, "");
  EXPECT_TRUE(absl::IsInvalidArgument(options.status())) << args.back();
  return std::string(options.status().message());
}

TEST(BenchOptionsTest, Defaults) {
  const auto options = ParseBenchOptions({}, "from the environment");
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->url.port, "8000");
  EXPECT_EQ(options->concurrency, 1);
  EXPECT_EQ(options->num_requests, 100u);
  EXPECT_EQ(options->warmup, 1);
  EXPECT_EQ(options->generation.api_key, "from the environment");
  EXPECT_FALSE(options->requests_per_second.has_value());
}

TEST(BenchOptionsTest, ReadsThem) {
  const auto options = ParseBenchOptions(
      {"--url=http://h:9/v1/", "--endpoint=completions", "--api-key=secret", "--request-rate=2.5",
       "--duration=10", "--prompt-tokens=uniform:5-9", "--slo-ttft-ms=5", "--temperature=0"},
      "");
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->url.path, "");
  EXPECT_EQ(options->endpoint, HttpEndpoint::kCompletions);
  EXPECT_EQ(options->requests_per_second, 2.5);
  EXPECT_FALSE(options->num_requests.has_value());
  EXPECT_EQ(options->duration->count(), 10);
  EXPECT_EQ(options->workload.prompt_tokens.text(), "uniform:5-9");
  EXPECT_EQ(options->objectives.ttft_ms, 5);
  EXPECT_EQ(options->generation.temperature, 0);
  for (const auto& [name, value] : options->given) EXPECT_NE(value, "secret") << name;
  EXPECT_TRUE(std::isinf(*ParseBenchOptions({"--request-rate=inf"}, "")->requests_per_second));
  EXPECT_FALSE(ParseBenchOptions({"--prompts=f"}, "")->num_requests.has_value());
}

TEST(BenchOptionsTest, NamesWhatIsWrong) {
  EXPECT_THAT(Wrong({"--concurrency=0"}), HasSubstr("--concurrency must be at least 1"));
  EXPECT_THAT(Wrong({"--concurrency=x"}), HasSubstr("--concurrency must be a whole number"));
  EXPECT_THAT(Wrong({"--request-rate=0"}), HasSubstr("--request-rate must be above 0"));
  EXPECT_THAT(Wrong({"--request-rate=5", "--concurrency=5"}), HasSubstr("do not go together"));
  EXPECT_THAT(Wrong({"--request-rate=inf", "--duration=5"}), HasSubstr("needs --num-requests"));
  EXPECT_THAT(Wrong({"--num-requests=0"}), HasSubstr("--num-requests"));
  EXPECT_THAT(Wrong({"--num-requests=-1"}), HasSubstr("--num-requests"));
  EXPECT_THAT(Wrong({"--prompts=f", "--prompt-tokens=5"}), HasSubstr("the file says"));
  EXPECT_THAT(Wrong({"--prompt-tokens=none"}), HasSubstr("--prompt-tokens: lengths are"));
  EXPECT_THAT(Wrong({"--num-prefixes=2"}), HasSubstr("--shared-prefix-tokens"));
  EXPECT_THAT(Wrong({"--grpc=h:1", "--url=http://h"}), HasSubstr("do not go together"));
  EXPECT_THAT(Wrong({"--grpc=h"}), HasSubstr("HOST:PORT"));
  EXPECT_THAT(Wrong({"--url=https://h"}), HasSubstr("https"));
  EXPECT_THAT(Wrong({"--endpoint=embeddings"}), HasSubstr("chat or completions"));
  EXPECT_THAT(Wrong({"--concurency=5"}), HasSubstr("did you mean --concurrency?"));
  EXPECT_THAT(Wrong({"http://h"}), HasSubstr("--url"));
}

TEST(BenchOptionsTest, HelpNeedsNothingElse) {
  EXPECT_TRUE(ParseBenchOptions({"--help"}, "")->help);
  EXPECT_THAT(BenchHelp(), HasSubstr("Examples"));
  size_t begin = 0;
  const std::string help = BenchHelp();
  for (size_t end; (end = help.find('\n', begin)) != std::string::npos; begin = end + 1) {
    EXPECT_LE(end - begin, 100u) << help.substr(begin, end - begin);
  }
}

}  // namespace
}  // namespace sluice::gateway
