// SPDX-License-Identifier: Apache-2.0
#include "gateway/chat/chat_template.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

namespace sluice::gateway {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

// A model folder that is gone after the test.
class ModelFolder {
 public:
  ModelFolder() {
    const auto* info = ::testing::UnitTest::GetInstance()->current_test_info();
    path_ = fs::temp_directory_path() /
            (std::string("sluice_template_") + info->name() + std::to_string(::getpid()));
    fs::create_directories(path_);
  }
  ~ModelFolder() { fs::remove_all(path_); }
  void Write(const std::string& name, const std::string& text) const {
    fs::create_directories((path_ / name).parent_path());
    std::ofstream(path_ / name, std::ios::binary) << text;
  }
  std::string path() const { return path_.string(); }

 private:
  fs::path path_;
};

RenderInput Input(std::string messages = R"([{"role": "user", "content": "hi"}])") {
  RenderInput input;
  input.messages_json = std::move(messages);
  return input;
}

std::string RenderOrDie(const ChatTemplate& chat_template, const RenderInput& input) {
  const absl::StatusOr<RenderedPrompt> prompt = chat_template.Render(input);
  EXPECT_TRUE(prompt.ok()) << prompt.status();
  return prompt.ok() ? prompt->text : "";
}

std::string ErrorOf(const ChatTemplate& chat_template, const RenderInput& input) {
  const absl::StatusOr<RenderedPrompt> prompt = chat_template.Render(input);
  EXPECT_EQ(prompt.status().code(), absl::StatusCode::kInvalidArgument) << prompt.status();
  return std::string(prompt.status().message());
}

TEST(ChatTemplateLoad, TheJinjaFileComesBeforeTheConfig) {
  const ModelFolder folder;
  folder.Write("tokenizer_config.json", R"({"chat_template": "config", "eos_token": "<|end|>"})");
  auto chat_template = ChatTemplate::Load(folder.path());
  ASSERT_TRUE(chat_template.ok()) << chat_template.status();
  EXPECT_EQ(RenderOrDie(**chat_template, Input()), "config");
  folder.Write("chat_template.jinja", "file {{ eos_token }}");
  chat_template = ChatTemplate::Load(folder.path());
  ASSERT_TRUE(chat_template.ok()) << chat_template.status();
  EXPECT_EQ(RenderOrDie(**chat_template, Input()), "file <|end|>");
}

TEST(ChatTemplateLoad, NamedTemplatesAreChosenByTools) {
  const ModelFolder folder;
  folder.Write("tokenizer_config.json",
               R"({"chat_template": [{"name": "default", "template": "plain"},
                                     {"name": "tool_use", "template": "tools"}]})");
  const auto chat_template = ChatTemplate::Load(folder.path());
  ASSERT_TRUE(chat_template.ok()) << chat_template.status();
  RenderInput input = Input();
  EXPECT_EQ(RenderOrDie(**chat_template, input), "plain");
  input.tools_json = R"([{"name": "f"}])";
  EXPECT_EQ(RenderOrDie(**chat_template, input), "tools");
}

TEST(ChatTemplateLoad, AdditionalTemplatesAreFiles) {
  const ModelFolder folder;
  folder.Write("chat_template.jinja", "plain");
  folder.Write("additional_chat_templates/tool_use.jinja", "tools");
  const auto chat_template = ChatTemplate::Load(folder.path());
  ASSERT_TRUE(chat_template.ok()) << chat_template.status();
  RenderInput input = Input();
  input.tools_json = "[]";
  EXPECT_EQ(RenderOrDie(**chat_template, input), "tools");
}

TEST(ChatTemplateLoad, ErrorsNameTheFileAndTheLine) {
  const ModelFolder folder;
  EXPECT_THAT(std::string(ChatTemplate::Load(folder.path()).status().message()),
              HasSubstr("has no chat template"));
  folder.Write("chat_template.jinja", "a\nb {{ x | nonsense }}");
  const std::string error(ChatTemplate::Load(folder.path()).status().message());
  EXPECT_THAT(error, HasSubstr("chat_template.jinja: line 2: unknown filter 'nonsense'"));
  fs::remove(fs::path(folder.path()) / "chat_template.jinja");
  folder.Write("tokenizer_config.json", R"({"chat_template": 5})");
  EXPECT_THAT(std::string(ChatTemplate::Load(folder.path()).status().message()),
              HasSubstr("chat_template: expected text"));
  folder.Write("tokenizer_config.json", "{");
  EXPECT_THAT(std::string(ChatTemplate::Load(folder.path()).status().message()),
              HasSubstr("tokenizer_config.json: invalid JSON"));
}

TEST(ChatTemplateLoad, SpecialTokensAreTheTemplatesAndArgumentsTheUsers) {
  const ModelFolder folder;
  folder.Write("tokenizer_config.json",
               R"({"chat_template": "{{ bos_token }}{{ eos_token }}{{ pad_token is defined }}",
                   "bos_token": {"content": "<s>"}, "eos_token": "</s>", "pad_token": null})");
  const auto chat_template = ChatTemplate::Load(folder.path());
  ASSERT_TRUE(chat_template.ok()) << chat_template.status();
  RenderInput input = Input();
  absl::StatusOr<RenderedPrompt> prompt = (*chat_template)->Render(input);
  ASSERT_TRUE(prompt.ok());
  EXPECT_EQ(prompt->text, "<s></s>False");
  ASSERT_EQ(prompt->user_ranges.size(), 1u);
  EXPECT_EQ(prompt->user_ranges[0].begin, 7u);
  input.kwargs_json = R"({"bos_token": "<u>"})";
  prompt = (*chat_template)->Render(input);
  ASSERT_TRUE(prompt.ok());
  EXPECT_EQ(prompt->text, "<u></s>False");
  EXPECT_EQ(prompt->user_ranges[0].begin, 0u);
  EXPECT_EQ(prompt->user_ranges[0].end, 3u);
}

TEST(ChatTemplateRender, VariablesAreThoseOfTransformers) {
  const auto chat_template = ChatTemplate::Compile(
      "{{ tools is none }} {{ documents is none }} {{ add_generation_prompt }} {{ messages | "
      "length }} "
      "{{ enable_thinking is defined and enable_thinking is false }}");
  ASSERT_TRUE(chat_template.ok());
  RenderInput input = Input();
  EXPECT_EQ(RenderOrDie(**chat_template, input), "True True True 1 False");
  input.kwargs_json = R"({"enable_thinking": false, "documents": []})";
  input.tools_json = "[]";
  input.add_generation_prompt = false;
  EXPECT_EQ(RenderOrDie(**chat_template, input), "False False False 1 True");
}

TEST(ChatTemplateRender, ErrorsNameTheFieldOrTheLine) {
  const auto chat_template = ChatTemplate::Compile(
      "{%- if messages[0].role == 'tool' %}\n{{ raise_exception('No tool first.') }}\n{%- endif "
      "%}\n"
      "{{ messages[0].content + 1 }}");
  ASSERT_TRUE(chat_template.ok());
  EXPECT_EQ(ErrorOf(**chat_template, Input(R"([{"role": "tool"}])")), "No tool first.");
  EXPECT_THAT(ErrorOf(**chat_template, Input()), HasSubstr("line 4: unsupported operand types"));
  EXPECT_THAT(ErrorOf(**chat_template, Input("{}")), HasSubstr("messages: expected an array"));
  EXPECT_THAT(ErrorOf(**chat_template, Input("[")), HasSubstr("messages: invalid JSON at byte 1"));
  EXPECT_THAT(ErrorOf(**chat_template, Input(R"(["\ud800"])")), HasSubstr("lone surrogate"));
  EXPECT_THAT(ErrorOf(**chat_template, Input("[\"\xff\"]")), HasSubstr("invalid UTF-8 at byte 2"));
  RenderInput input = Input();
  input.tools_json = "{}";
  EXPECT_THAT(ErrorOf(**chat_template, input), HasSubstr("tools: expected an array"));
  input = Input();
  input.kwargs_json = R"({"messages": []})";
  EXPECT_THAT(ErrorOf(**chat_template, input), HasSubstr("chat_template_kwargs: messages"));
}

TEST(ChatTemplateRender, DeepJsonIsAnError) {
  const auto chat_template = ChatTemplate::Compile("{{ messages }}");
  ASSERT_TRUE(chat_template.ok());
  for (const char bracket : {'[', '{'}) {
    std::string deep;
    for (int i = 0; i < 100000; ++i) deep += bracket == '[' ? "[" : "{\"a\":";
    EXPECT_THAT(ErrorOf(**chat_template, Input("[" + deep)), HasSubstr("nested deeper than"));
  }
  std::string allowed(200, '[');
  allowed += std::string(200, ']');
  EXPECT_EQ(RenderOrDie(**chat_template, Input(allowed)), allowed);
}

TEST(ChatTemplateRender, ContinuesTheFinalMessage) {
  const auto chat_template = ChatTemplate::Compile(
      "{% for m in messages %}<{{ m.role }}>{{ m.content }}</{{ m.role }}>{% endfor %}");
  const auto trimming = ChatTemplate::Compile(
      "{% for m in messages %}<{{ m.role }}>{{ m.content | trim }}</{{ m.role }}>{% endfor %}");
  ASSERT_TRUE(chat_template.ok() && trimming.ok());
  RenderInput input =
      Input(R"([{"role": "user", "content": "q"}, {"role": "assistant", "content": "so "}])");
  input.continue_final_message = true;
  EXPECT_THAT(ErrorOf(**chat_template, input), HasSubstr("exclude each other"));
  input.add_generation_prompt = false;
  EXPECT_EQ(RenderOrDie(**chat_template, input), "<user>q</user><assistant>so ");
  EXPECT_EQ(RenderOrDie(**trimming, input), "<user>q</user><assistant>so");
  input.messages_json = R"([{"role": "assistant", "content": null}])";
  EXPECT_THAT(ErrorOf(**chat_template, input), HasSubstr("no content to continue"));
  const auto deaf = ChatTemplate::Compile("{{ messages | length }}");
  input.messages_json = R"([{"role": "assistant", "content": "x"}])";
  EXPECT_THAT(ErrorOf(**deaf, input), HasSubstr("reads no content"));
}

TEST(ChatTemplateRender, ThreadsShareOneTemplate) {
  const auto chat_template = ChatTemplate::Compile(
      "{% macro say(m) %}{{ m.role }}: {{ m.content | upper }}{% endmacro %}"
      "{% for m in messages %}{{ say(m) }}{{ loop.index }}{% endfor %}");
  ASSERT_TRUE(chat_template.ok());
  std::vector<std::thread> threads;
  threads.reserve(4);
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int round = 0; round < 200; ++round) {
        const absl::StatusOr<RenderedPrompt> prompt = (*chat_template)->Render(Input());
        ASSERT_TRUE(prompt.ok());
        ASSERT_EQ(prompt->text, "user: HI1");
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace sluice::gateway
