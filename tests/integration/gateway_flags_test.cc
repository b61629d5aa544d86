// SPDX-License-Identifier: Apache-2.0
// How a gateway starts: flags, the YAML file, and what it refuses before any port is open.
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "tests/integration/gateway_fixture.h"
#include "tests/support/qwen3_dir.h"

namespace sluice::gateway {
namespace {

using sluice::testing::GatewayProcess;
using sluice::testing::HttpGet;
using sluice::testing::Qwen3Dir;
using ::testing::HasSubstr;

class GatewayFlagsTest : public GatewayFixture {
 protected:
  // Expects that the gateway ends without listening; returns what it said.
  static std::string Refused(const std::vector<std::string>& arguments, int exit_status) {
    GatewayProcess gateway(arguments);
    EXPECT_FALSE(gateway.listening());
    EXPECT_EQ(gateway.AwaitExit(), exit_status) << gateway.Log();
    return gateway.Log();
  }
  static std::string WriteFile(const std::string& name, const std::string& text) {
    const std::string path = ::testing::TempDir() + name;
    std::ofstream(path) << text;
    return path;
  }
  const std::string model_ = "--model=" + Qwen3Dir();
};

TEST_F(GatewayFlagsTest, RefusesWhatItCannotUse) {
  EXPECT_THAT(Refused({}, 2), HasSubstr("--model is missing"));
  EXPECT_THAT(Refused({"--model=/nowhere"}, 2), HasSubstr("/nowhere is not a folder"));
  EXPECT_THAT(Refused({model_}, 2), HasSubstr("--workers is empty"));
  EXPECT_THAT(Refused({model_, "--workers=x"}, 2), HasSubstr("--workers: 'x'"));
  EXPECT_THAT(Refused({model_, "--workers=a:1", "--http-port=70000"}, 2),
              HasSubstr("--http-port must be from 0 to 65535, not 70000"));
  EXPECT_THAT(Refused({model_, "--workers=a:1", "--log-format=xml"}, 2),
              HasSubstr("--log-format must be text or json, not 'xml'"));
  EXPECT_THAT(Refused({model_, "--workers=a:1", "--http-port=abc"}, 2),
              HasSubstr("--http-port must be a whole number, not 'abc'"));
  EXPECT_THAT(Refused({model_, "--workers=a:1", "--http-prot=1"}, 2),
              HasSubstr("there is no option --http-prot"));
  EXPECT_THAT(Refused({model_, "--workers=a:1", "stray"}, 2), HasSubstr("'stray' is no option"));
  EXPECT_THAT(Refused({model_, "--workers=a:1", "--api-keys-file=/nowhere"}, 2),
              HasSubstr("/nowhere"));
  EXPECT_THAT(Refused({model_, "--workers=a:1", "--listen=localhost"}, 2),
              HasSubstr("not an IP address"));
}

TEST_F(GatewayFlagsTest, RefusesABrokenModelFolder) {
  const std::filesystem::path folder = ::testing::TempDir() + "broken_model";
  std::filesystem::create_directories(folder);
  EXPECT_THAT(Refused({"--model=" + folder.string(), "--workers=a:1"}, 2),
              HasSubstr("tokenizer.json"));
  std::ofstream(folder / "tokenizer.json") << "{\"model\": ";
  EXPECT_THAT(Refused({"--model=" + folder.string(), "--check"}, 2), HasSubstr("tokenizer.json"));
}

TEST_F(GatewayFlagsTest, ChecksWithoutListening) { EXPECT_EQ(Refused({model_, "--check"}, 0), ""); }

TEST_F(GatewayFlagsTest, SaysWhichPortIsTaken) {
  Start();
  const std::string log = Refused(
      {model_, "--workers=" + worker_->address(), "--http-port=" + std::to_string(http_port())}, 1);
  EXPECT_THAT(log, HasSubstr("cannot listen for HTTP on 127.0.0.1:" + std::to_string(http_port())));
  const std::string grpc_port = std::to_string(gateway_->port("grpc"));
  EXPECT_THAT(Refused({model_, "--workers=" + worker_->address(), "--grpc-port=" + grpc_port}, 1),
              HasSubstr("cannot listen for gRPC on 127.0.0.1:" + grpc_port));
}

TEST_F(GatewayFlagsTest, ReadsYamlUnderTheCommandLine) {
  worker_ = MakeWorker();
  const std::string path = WriteFile(
      "gateway.yaml", "# shared with the worker\nmodel: " + Qwen3Dir() + "\nworkers:\n  - " +
                          worker_->address() +
                          "\nserved-model-name: [first, second]\nlog_format: json\ntp-size: 2\n");
  GatewayProcess gateway({"--config=" + path, "--log-format=text"});
  ASSERT_TRUE(gateway.listening()) << gateway.Log();
  ASSERT_TRUE(gateway.AwaitReady());
  const auto models = HttpGet(gateway.port("http"), "/v1/models");
  EXPECT_THAT(models->body, HasSubstr("\"second\""));
  EXPECT_THAT(gateway.Log(),
              HasSubstr(" info worker group is ready "));  // text, as the command line says
}

TEST_F(GatewayFlagsTest, RefusesABadYamlFile) {
  EXPECT_THAT(Refused({"--config=" + WriteFile("bad.yaml", "http-prot: 1\n")}, 2),
              HasSubstr("there is no option 'http-prot'"));
  EXPECT_THAT(Refused({"--config=" + WriteFile("bad.yaml", "- a\n")}, 2),
              HasSubstr("is not a map"));
  EXPECT_THAT(Refused({"--config=" + WriteFile("bad.yaml", "a: [\n")}, 2), HasSubstr("bad.yaml"));
  EXPECT_THAT(Refused({"--config=" + WriteFile("bad.yaml", "http_port: abc\n")}, 2),
              HasSubstr("bad.yaml: http_port must be a whole number, not 'abc'"));
  EXPECT_EQ(Refused({"--config=/nowhere.yaml"}, 2),
            "sluice-gateway: --config /nowhere.yaml: cannot be read\n");
}

}  // namespace
}  // namespace sluice::gateway
