// SPDX-License-Identifier: Apache-2.0
// What the gateway's integration tests share: the real binary over the real tokenizer and template
// of Qwen3, in front of a fake worker whose ids a test scripts.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "gateway/tokenizer/tokenizer.h"
#include "gtest/gtest.h"
#include "tests/support/fake_worker.h"
#include "tests/support/gateway_process.h"
#include "tests/support/http_client.h"

namespace sluice::gateway {

class GatewayFixture : public ::testing::Test {
 protected:
  static constexpr int kMaxModelLen = 512;
  static constexpr char kChat[] = "/v1/chat/completions";
  static constexpr char kModel[] = "qwen";

  void SetUp() override;  // skips without the model's files

  // A worker group that the gateway will accept.
  static std::unique_ptr<sluice::testing::FakeWorker> MakeWorker(int port = 0);
  // A ready gateway in front of worker_, which is made unless it is there; options may name other
  // workers.
  void Start(std::vector<std::string> options = {});
  // The same pair for every test of the suite that asks for it, since starting takes most of a
  // test's time. The worker's records are empty again; the gateway's metrics and log are not.
  void StartShared();
  static void TearDownTestSuite();
  int http_port() const { return gateway_->port("http"); }

  static const Tokenizer& tokenizer();
  static std::vector<int32_t> Encode(const std::string& text);
  static int32_t Control(const std::string& token);
  // Writes the text's ids one by one and ends with <|im_end|>.
  static sluice::testing::FakeWorker::Script Say(const std::string& text);

  static nlohmann::json ChatBody(bool stream = false, const std::string& content = "hi");
  // Every JSON payload of a server-sent event stream; the test fails for a line of another shape.
  static std::vector<nlohmann::json> Events(const std::string& body, bool* done);
  // POST to kChat on a connection of its own.
  sluice::testing::HttpReply Chat(const nlohmann::json& body, const std::string& headers = {});
  std::string MetricsText() const;
  // Waits for a line of /metrics: the gateway counts an end that no client waits for in its own
  // time.
  bool AwaitMetric(const std::string& line) const;

  std::shared_ptr<sluice::testing::FakeWorker> worker_;
  std::shared_ptr<sluice::testing::GatewayProcess> gateway_;
};

}  // namespace sluice::gateway
