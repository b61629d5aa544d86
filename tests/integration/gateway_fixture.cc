// SPDX-License-Identifier: Apache-2.0
#include "tests/integration/gateway_fixture.h"

#include <algorithm>

#include <chrono>
#include <utility>

#include "tests/support/qwen3_dir.h"

namespace sluice::gateway {

namespace pb = ::sluice::worker::v1;
using nlohmann::json;
using sluice::testing::FakeWorker;
using sluice::testing::GatewayProcess;
using sluice::testing::HttpReply;

namespace {

std::shared_ptr<FakeWorker> shared_worker;
std::shared_ptr<GatewayProcess> shared_gateway;

}  // namespace

void GatewayFixture::SetUp() {
  if (sluice::testing::Qwen3Dir().empty()) {
    GTEST_SKIP() << "the files of Qwen3 are not here; set SLUICE_QWEN3_DIR";
  }
}

const Tokenizer& GatewayFixture::tokenizer() {
  static const Tokenizer* const tokenizer = [] {
    auto loaded = Tokenizer::Load(sluice::testing::Qwen3Dir() + "/tokenizer.json");
    if (!loaded.ok()) std::abort();
    return std::move(loaded).value().release();
  }();
  return *tokenizer;
}

std::vector<int32_t> GatewayFixture::Encode(const std::string& text) {
  return tokenizer().Encode(text).value();
}

int32_t GatewayFixture::Control(const std::string& token) {
  return tokenizer().AddedTokenId(token).value();
}

FakeWorker::Script GatewayFixture::Say(const std::string& text) {
  return [ids = Encode(text), end = Control("<|im_end|>")](FakeWorker::Generation& generation) {
    for (const int32_t id : ids) generation.Write({id});
    generation.Finish(pb::FINISH_REASON_STOP, static_cast<int>(ids.size()) + 1, 0, {end}, true);
    return grpc::Status::OK;
  };
}

std::unique_ptr<FakeWorker> GatewayFixture::MakeWorker(int port) {
  pb::ModelInfo info;
  info.set_model(kModel);
  info.set_max_model_len(kMaxModelLen);
  info.set_vocab_size(static_cast<uint32_t>(tokenizer().vocab_size()));
  info.set_tokenizer_sha256(tokenizer().sha256());
  info.add_eos_ids(Control("<|im_end|>"));
  info.add_eos_ids(Control("<|endoftext|>"));
  info.mutable_sampling_defaults()->set_temperature(0.6f);
  info.mutable_sampling_defaults()->set_top_k(20);
  info.set_tp_size(1);
  info.set_device("cpu");
  info.set_max_num_seqs(8);
  return std::make_unique<FakeWorker>(std::move(info), port);
}

void GatewayFixture::Start(std::vector<std::string> options) {
  if (!worker_) worker_ = MakeWorker();
  options.push_back("--model=" + sluice::testing::Qwen3Dir());
  const bool names_workers = std::any_of(options.begin(), options.end(), [](const auto& option) {
    return option.starts_with("--workers=");
  });
  if (!names_workers) options.push_back("--workers=" + worker_->address());
  options.push_back(std::string("--served-model-name=") + kModel);
  gateway_ = std::make_shared<GatewayProcess>(std::move(options));
  ASSERT_TRUE(gateway_->listening()) << gateway_->Log();
  ASSERT_TRUE(gateway_->AwaitReady()) << gateway_->Log();
}

void GatewayFixture::StartShared() {
  if (!shared_gateway) {
    Start();
    shared_worker = worker_;
    shared_gateway = gateway_;
    return;
  }
  worker_ = shared_worker;
  gateway_ = shared_gateway;
  ASSERT_TRUE(worker_->AwaitIdle());
  worker_->Forget();
}

void GatewayFixture::TearDownTestSuite() {
  shared_gateway.reset();
  shared_worker.reset();
}

json GatewayFixture::ChatBody(bool stream, const std::string& content) {
  json body;
  body["model"] = kModel;
  body["messages"] = json::array({{{"role", "user"}, {"content", content}}});
  body["stream"] = stream;
  return body;
}

std::vector<json> GatewayFixture::Events(const std::string& body, bool* done) {
  std::vector<json> events;
  *done = false;
  size_t begin = 0;
  while (begin < body.size()) {
    const size_t end = body.find("\n\n", begin);
    const std::string event = body.substr(begin, end - begin);
    begin = end == std::string::npos ? body.size() : end + 2;
    EXPECT_EQ(event.rfind("data: ", 0), 0u) << event;
    if (event == "data: [DONE]") {
      *done = true;
      EXPECT_EQ(begin, body.size()) << "something follows [DONE]";
    } else {
      json payload = json::parse(event.substr(6), nullptr, false);
      EXPECT_FALSE(payload.is_discarded()) << event;
      events.push_back(std::move(payload));
    }
  }
  return events;
}

HttpReply GatewayFixture::Chat(const json& body, const std::string& headers) {
  return sluice::testing::HttpPost(http_port(), kChat, body.dump(), headers).value_or(HttpReply());
}

bool GatewayFixture::AwaitMetric(const std::string& line) const {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (std::chrono::steady_clock::now() < deadline) {
    if (MetricsText().find("\n" + line + "\n") != std::string::npos) return true;
  }
  return false;
}

std::string GatewayFixture::MetricsText() const {
  const auto reply = sluice::testing::HttpGet(gateway_->port("metrics"), "/metrics");
  return reply ? reply->body : std::string();
}

}  // namespace sluice::gateway
