// SPDX-License-Identifier: Apache-2.0
// JSON in and out, as Python's json.loads and json.dumps(ensure_ascii=False) do it.
#include "gateway/chat/jinja/json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace sluice::gateway::jinja {
namespace {

using ::testing::HasSubstr;

std::string RoundTrip(const std::string& json) {
  const absl::StatusOr<Value> value = ParseJson(json, Origin::kUser);
  EXPECT_TRUE(value.ok()) << json << ": " << value.status();
  if (!value.ok()) return "";
  Text out;
  EXPECT_TRUE(AppendJson(*value, JsonStyle(), &out).ok());
  return out.bytes();
}

std::string ErrorOf(const std::string& json) {
  const absl::StatusOr<Value> value = ParseJson(json, Origin::kUser);
  EXPECT_FALSE(value.ok()) << json;
  return std::string(value.status().message());
}

TEST(JinjaJson, NumbersComeOutAsPythonPrintsThem) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"1.0", "1.0"},
      {"1e5", "100000.0"},
      {"1e-5", "1e-05"},
      {"-0.0", "-0.0"},
      {"-0", "0"},
      {"0", "0"},
      {"1E400", "Infinity"},
      {"-1e999", "-Infinity"},
      {"1e-400", "0.0"},
      {"-1e-400", "-0.0"},
      {"5e-324", "5e-324"},
      {"1e16", "1e+16"},
      {"1e15", "1000000000000000.0"},
      {"123456789012345678901234567890", "123456789012345678901234567890"},
      {"-9223372036854775808", "-9223372036854775808"},
      {"9223372036854775808", "9223372036854775808"},
      {"0.1", "0.1"},
      {"100.50", "100.5"},
      {"1.7976931348623157e308", "1.7976931348623157e+308"},
      {"NaN", "NaN"},
      {"-Infinity", "-Infinity"},
      {"2.5E+3", "2500.0"},
      {"0.0001", "0.0001"},
      {"0.00001", "1e-05"},
      {"0e999999999999", "0.0"},
      {"1e-999999999999999999999", "0.0"},
      {"12e+99999999999999999999", "Infinity"}};
  for (const auto& [json, expected] : cases) EXPECT_EQ(RoundTrip(json), expected) << json;
}

TEST(JinjaJson, StringsAndContainers) {
  EXPECT_EQ(RoundTrip(R"( { "a" : [ 1 ,2, {} , [] ] ,"b":null, "c":true,"d":false } )"),
            R"({"a": [1, 2, {}, []], "b": null, "c": true, "d": false})");
  EXPECT_EQ(RoundTrip(R"("\u00e9\ud83e\udd16\/\b\f\n\r\t\"\\\u0001")"),
            "\"é🤖/\\b\\f\\n\\r\\t\\\"\\\\\\u0001\"");
  EXPECT_EQ(RoundTrip("\"\x7f<>&'\""), "\"\x7f<>&'\"");
  EXPECT_EQ(RoundTrip(R"({"a": 1, "b": 2, "a": 3})"), R"({"a": 3, "b": 2})");
  std::string many = "{";
  for (int i = 0; i < 100; ++i)
    many += (i > 0 ? ", " : "") + ("\"k" + std::to_string(i % 50)) + "\": " + std::to_string(i);
  const std::string out = RoundTrip(many + "}");
  EXPECT_THAT(out, HasSubstr("{\"k0\": 50, \"k1\": 51,"));
  EXPECT_THAT(out, HasSubstr("\"k49\": 99}"));
}

TEST(JinjaJson, WhatPythonRefusesIsRefused) {
  for (const char* json : {"",
                           " ",
                           "{",
                           "[",
                           "[1,]",
                           "{\"a\":1,}",
                           "{'a': 1}",
                           "{a: 1}",
                           "[1 2]",
                           "01",
                           "1.",
                           ".5",
                           "+1",
                           "1e",
                           "--1",
                           "tru",
                           "nul",
                           "nan",
                           "\"",
                           "\"\\x\"",
                           "\"\\u12g4\"",
                           "\"\n\"",
                           "\"\x01\"",
                           "1 2",
                           "[]]",
                           "0x10",
                           "{\"a\"}",
                           "{1: 2}",
                           "\xef\xbb\xbf[]"}) {
    EXPECT_THAT(ErrorOf(json), HasSubstr("invalid JSON at byte")) << json;
  }
  EXPECT_THAT(ErrorOf(R"("\ud800")"), HasSubstr("lone surrogate"));
  EXPECT_THAT(ErrorOf(R"("\udc00\ud800")"), HasSubstr("lone surrogate"));
  EXPECT_THAT(ErrorOf(R"("\ud83e\ud83e")"), HasSubstr("lone surrogate"));
  EXPECT_THAT(ErrorOf("\"\xed\xa0\x80\""), HasSubstr("invalid UTF-8"));
  EXPECT_THAT(ErrorOf("\"\xc0\x80\""), HasSubstr("invalid UTF-8"));
  EXPECT_THAT(ErrorOf(std::string(5000, '1')), HasSubstr("4300 digits"));
  EXPECT_THAT(ErrorOf(std::string(100000, '[')), HasSubstr("nested deeper than 256"));
}

}  // namespace
}  // namespace sluice::gateway::jinja
