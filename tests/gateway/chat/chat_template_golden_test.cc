// SPDX-License-Identifier: Apache-2.0
// Whole conversations against Transformers: both public Qwen3 templates (read from
// SLUICE_QWEN3_DIR, since they are not in this repository) and our own one, which must write the
// same bytes wherever content is text.
#include <gtest/gtest.h>
#include <openssl/evp.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>

#include "gateway/chat/chat_template.h"
#include "tests/support/qwen3_dir.h"

namespace sluice::gateway {
namespace {

const std::string kSourceDir = SLUICE_SOURCE_DIR;

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream bytes;
  bytes << file.rdbuf();
  return bytes.str();
}

const nlohmann::json& Golden() {
  static const nlohmann::json golden =
      nlohmann::json::parse(ReadFile(kSourceDir + "/tests/golden/chat/conversations.json"));
  return golden;
}

std::string Sha256(const std::string& bytes) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  EVP_Digest(bytes.data(), bytes.size(), digest, &size, EVP_sha256(), nullptr);
  std::string hex;
  for (unsigned int i = 0; i < size; ++i) {
    constexpr char kDigits[] = "0123456789abcdef";
    hex.push_back(kDigits[digest[i] >> 4]);
    hex.push_back(kDigits[digest[i] & 15]);
  }
  return hex;
}

RenderInput InputOf(const nlohmann::json& test) {
  RenderInput input;
  input.messages_json = test["messages"];
  input.tools_json = test.value("tools", "");
  input.kwargs_json = test.value("kwargs", "");
  input.add_generation_prompt = test.value("add_generation_prompt", true);
  input.continue_final_message = test.value("continue_final_message", false);
  return input;
}

void ExpectRendersAs(const ChatTemplate& chat_template, const nlohmann::json& test,
                     const nlohmann::json& expected) {
  const absl::StatusOr<RenderedPrompt> prompt = chat_template.Render(InputOf(test));
  if (expected.contains("error")) {
    EXPECT_FALSE(prompt.ok()) << "Transformers raises " << expected["error"] << " on\n" << test;
  } else if (prompt.ok()) {
    EXPECT_EQ(prompt->text, expected["output"].get<std::string>()) << test["messages"];
  } else {
    ADD_FAILURE() << prompt.status() << " on\n" << test;
  }
}

// The expectation for the template called `name` ("later" or "older").
const nlohmann::json& Expected(const nlohmann::json& test, const std::string& name) {
  return test[name].is_string() ? test["later"] : test[name];
}

void TestPublicTemplate(const std::string& name, const std::string& source) {
  ASSERT_EQ(Sha256(source), Golden()["template_sha256"][name])
      << "the goldens were made with another text of this template";
  const auto chat_template = ChatTemplate::Compile(source);
  ASSERT_TRUE(chat_template.ok()) << chat_template.status();
  ASSERT_GE(Golden()["cases"].size(), 200u);
  for (const nlohmann::json& test : Golden()["cases"]) {
    ExpectRendersAs(**chat_template, test, Expected(test, name));
  }
}

TEST(ChatTemplateGolden, LaterPublicTemplate) {
  const std::string dir = testing::Qwen3Dir();
  if (dir.empty()) GTEST_SKIP() << "SLUICE_QWEN3_DIR is unset and ../shared/qwen3 is not there";
  TestPublicTemplate("later", ReadFile(dir + "/chat_template.jinja"));
}

TEST(ChatTemplateGolden, OlderPublicTemplate) {
  const std::string dir = testing::Qwen3Dir();
  if (dir.empty()) GTEST_SKIP() << "SLUICE_QWEN3_DIR is unset and ../shared/qwen3 is not there";
  const auto config = nlohmann::json::parse(ReadFile(dir + "/tokenizer_config.json"));
  TestPublicTemplate("older", config["chat_template"]);
}

TEST(ChatTemplateGolden, OwnTemplateWritesTheSameOnText) {
  const auto chat_template =
      ChatTemplate::Compile(ReadFile(kSourceDir + "/deploy/demo_model/chat_template.jinja"));
  ASSERT_TRUE(chat_template.ok()) << chat_template.status();
  int tested = 0;
  for (const nlohmann::json& test : Golden()["cases"]) {
    if (!test["plain"]) continue;
    ExpectRendersAs(**chat_template, test, test["later"]);
    ++tested;
  }
  EXPECT_GE(tested, 200);
}

// Control tokens appear in the template's own bytes exactly as often as the template writes them,
// whatever users say.
TEST(ChatTemplateGolden, UserTextNeverCountsAsTheTemplates) {
  const auto chat_template =
      ChatTemplate::Compile(ReadFile(kSourceDir + "/deploy/demo_model/chat_template.jinja"));
  ASSERT_TRUE(chat_template.ok());
  for (const nlohmann::json& test : Golden()["cases"]) {
    if (!test["plain"] || test["later"].contains("error")) continue;
    if (test.value("continue_final_message", false)) continue;
    const absl::StatusOr<RenderedPrompt> prompt = (*chat_template)->Render(InputOf(test));
    ASSERT_TRUE(prompt.ok());
    std::string own = prompt->text;
    size_t last = 0;
    for (const RenderedPrompt::Range& range : prompt->user_ranges) {
      ASSERT_LE(last, range.begin);
      ASSERT_LT(range.begin, range.end);
      ASSERT_LE(range.end, own.size());
      own.replace(range.begin, range.end - range.begin, range.end - range.begin, 'u');
      last = range.end;
    }
    // Every turn opens and closes; the generation prompt opens one more.
    const auto count = [&](const std::string& token) {
      int found = 0;
      for (size_t pos = own.find(token); pos != std::string::npos; pos = own.find(token, pos + 1)) {
        ++found;
      }
      return found;
    };
    const int open_turns = test.value("add_generation_prompt", true) ? 1 : 0;
    EXPECT_EQ(count("<|im_start|>"), count("<|im_end|>") + open_turns) << own;
    EXPECT_EQ(count("<|endoftext|>"), 0);
    EXPECT_EQ(count("<tool_response>"), count("</tool_response>"));
  }
}

}  // namespace
}  // namespace sluice::gateway
