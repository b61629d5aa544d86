// SPDX-License-Identifier: Apache-2.0
// Renders a second of one thread, in its own CPU time: normalizing the messages and rendering them
// with our own chat template, and with the model folder's where one is given. Prints one JSON
// object.
//
//   template_bench [MODEL_DIR] [--seconds=N]
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "gateway/chat/chat_template.h"
#include "gateway/chat/message_normalizer.h"

namespace {

using nlohmann::ordered_json;
using sluice::gateway::ChatTemplate;
using sluice::gateway::NormalizeMessages;
using sluice::gateway::RenderInput;

constexpr const char* kTools = R"([
  {"type": "function", "function": {"name": "weather", "description": "Weather of a place, now and for days ahead",
   "parameters": {"type": "object", "properties": {"place": {"type": "string", "description": "Name of a town"},
   "days": {"type": "integer", "minimum": 0, "maximum": 14, "default": 1}}, "required": ["place"]}}},
  {"type": "function", "function": {"name": "search", "description": "Searches the web and returns passages",
   "parameters": {"type": "object", "properties": {"query": {"type": "string"}, "limit": {"type": "number",
   "default": 10.0}, "language": {"type": "string", "enum": ["de", "en", "fr", "zh"]}}, "required": ["query"]}}}])";

double ThreadCpuSeconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

ordered_json Message(const std::string& role, const std::string& content) {
  return {{"role", role}, {"content", content}};
}

std::string Repeat(const std::string& text, int times) {
  std::string out;
  for (int i = 0; i < times; ++i) out += text;
  return out;
}

ordered_json ShortChat() {
  return {Message("system", "You are a helpful assistant."),
          Message("user", "What is the capital of France?")};
}

ordered_json ToolConversation() {
  ordered_json messages = {Message("system", "You plan journeys and answer in one paragraph.")};
  for (int round = 0; round < 4; ++round) {
    messages.push_back(Message("user", "Will it rain in Paris and in Rome this week?"));
    ordered_json call = Message("assistant", "");
    for (const char* place : {"Paris", "Rome"}) {
      const std::string arguments = std::string("{\"place\":\"") + place + "\",\"days\":7}";
      call["tool_calls"].push_back({{"id", std::string("call_") + place},
                                    {"type", "function"},
                                    {"function", {{"name", "weather"}, {"arguments", arguments}}}});
    }
    messages.push_back(call);
    for (const char* place : {"Rome", "Paris"}) {
      ordered_json answer =
          Message("tool", R"({"temperature": 21.5, "rain": [0, 0, 2.5, 7, 0, 0, 1]})");
      answer["tool_call_id"] = std::string("call_") + place;
      messages.push_back(answer);
    }
    messages.push_back(
        Message("assistant", Repeat("In Paris it rains on Wednesday and Thursday. ", 6)));
  }
  messages.push_back(Message("user", "And what should I pack?"));
  return messages;
}

ordered_json HundredTurns() {
  ordered_json messages = {Message("system", "You are a patient teacher.")};
  for (int turn = 0; turn < 100; ++turn) {
    messages.push_back(
        Message("user", Repeat("Why does the sum of these two series not converge? ", 8)));
    messages.push_back(Message(
        "assistant", "<think>\n" + Repeat("The terms do not tend to zero. ", 20) +
                         "\n</think>\n\n" +
                         Repeat("Look at the terms one by one: they stay above a half. ", 25)));
  }
  messages.push_back(Message("user", "Thank you. Once more, in one sentence?"));
  return messages;
}

ordered_json Measure(const ChatTemplate& chat_template, const ordered_json& messages,
                     const std::string& tools, double seconds) {
  const std::string json = messages.dump();
  const auto render = [&] {
    const absl::StatusOr<std::string> normalized = NormalizeMessages(json);
    RenderInput input;
    if (normalized.ok()) input.messages_json = *normalized;
    input.tools_json = tools;
    const auto prompt = chat_template.Render(input);
    if (!prompt.ok()) {
      std::fprintf(stderr, "%s\n", std::string(prompt.status().message()).c_str());
      std::_Exit(1);
    }
    return prompt->text.size();
  };
  const size_t prompt_bytes = render();
  std::vector<double> rates;  // of batches long enough for the clock
  const double end = ThreadCpuSeconds() + seconds;
  while (rates.size() < 3 || ThreadCpuSeconds() < end) {
    const double start = ThreadCpuSeconds();
    int renders = 0;
    do {
      render();
      ++renders;
    } while (ThreadCpuSeconds() - start < 0.02);
    rates.push_back(renders / (ThreadCpuSeconds() - start));
  }
  std::sort(rates.begin(), rates.end());
  const double median = rates[rates.size() / 2];
  return {{"messages", messages.size()},
          {"request_bytes", json.size() + tools.size()},
          {"prompt_bytes", prompt_bytes},
          {"renders_per_s", median},
          {"best_renders_per_s", rates.back()},
          {"prompt_mb_per_s", 1e-6 * static_cast<double>(prompt_bytes) * median}};
}

ordered_json MeasureAll(const ChatTemplate& chat_template, double seconds) {
  return {{"short_chat", Measure(chat_template, ShortChat(), "", seconds)},
          {"tool_conversation", Measure(chat_template, ToolConversation(), kTools, seconds)},
          {"hundred_turns", Measure(chat_template, HundredTurns(), "", seconds)}};
}

template <typename T>
T OrDie(absl::StatusOr<T> value) {
  if (!value.ok()) {
    std::fprintf(stderr, "%s\n", std::string(value.status().message()).c_str());
    std::_Exit(1);
  }
  return *std::move(value);
}

}  // namespace

int main(int argc, char** argv) {
  double seconds = 1;
  std::string model_dir;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument.rfind("--seconds=", 0) == 0) {
      seconds = std::atof(argument.c_str() + 10);
    } else {
      model_dir = argument;
    }
  }
  std::ifstream file(std::string(SLUICE_SOURCE_DIR) + "/deploy/demo_model/chat_template.jinja",
                     std::ios::binary);
  const std::string source((std::istreambuf_iterator<char>(file)),
                           std::istreambuf_iterator<char>());
  ordered_json result = {{"bench", "template"}, {"own_template", nullptr}};
  result["own_template"] = MeasureAll(*OrDie(ChatTemplate::Compile(source)), seconds);
  if (!model_dir.empty()) {
    result["model_template"] = MeasureAll(*OrDie(ChatTemplate::Load(model_dir)), seconds);
  }
  std::printf("%s\n", result.dump(2).c_str());
  return 0;
}
