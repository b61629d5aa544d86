// SPDX-License-Identifier: Apache-2.0
// JsonDocument against nlohmann/json: the same texts are accepted, the same values are read. Then
// what nlohmann does not promise: bounds, source text, duplicate keys, UTF-8.
#include "gateway/openai/json_reader.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "gateway/openai/json_writer.h"

namespace sluice::gateway {
namespace {

using Json = nlohmann::ordered_json;

Json ToNlohmann(const JsonValue& value) {
  switch (value.type()) {
    case JsonType::kNull:
      return nullptr;
    case JsonType::kBool:
      return value.AsBool();
    case JsonType::kNumber:
      return value.AsDouble().value_or(0);
    case JsonType::kString:
      return value.AsString();
    case JsonType::kArray: {
      Json array = Json::array();
      for (const JsonValue& element : value.Elements()) array.push_back(ToNlohmann(element));
      return array;
    }
    case JsonType::kObject: {
      Json object = Json::object();
      for (auto& [key, member] : value.Members()) object[key] = ToNlohmann(member);
      return object;
    }
  }
  return nullptr;
}

// Numbers as doubles, as ToNlohmann makes them.
Json Doubles(const Json& value) {
  if (value.is_number()) return value.get<double>();
  if (value.is_array()) {
    Json array = Json::array();
    for (const Json& element : value) array.push_back(Doubles(element));
    return array;
  }
  if (value.is_object()) {
    Json object = Json::object();
    for (const auto& [key, member] : value.items()) object[key] = Doubles(member);
    return object;
  }
  return value;
}

// A number beyond a double: we keep its text, nlohmann refuses it.
bool HasHugeNumber(const JsonValue& value) {
  if (value.is(JsonType::kNumber)) return !value.AsDouble().has_value();
  if (value.is(JsonType::kArray)) {
    for (const JsonValue& element : value.Elements()) {
      if (HasHugeNumber(element)) return true;
    }
  }
  if (value.is(JsonType::kObject)) {
    for (auto& [key, member] : value.Members()) {
      if (HasHugeNumber(member)) return true;
    }
  }
  return false;
}

// Same verdict as nlohmann, and the same value; but for duplicate keys, which only we refuse.
void Compare(const std::string& text) {
  const auto ours = JsonDocument::Parse(text);
  const Json theirs = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (ours.ok()) {
    if (HasHugeNumber(ours->root())) return;
    ASSERT_FALSE(theirs.is_discarded()) << text;
    EXPECT_EQ(ToNlohmann(ours->root()), Doubles(theirs)) << text;
    EXPECT_EQ(Json::parse(std::string(ours->root().raw())), theirs);
    return;
  }
  const std::string message(ours.status().message());
  if (message.find("twice") != std::string::npos) return;
  EXPECT_TRUE(theirs.is_discarded()) << text << "\n" << message;
}

TEST(JsonReader, AgreesWithNlohmannOnListedTexts) {
  for (const char* text : {"",
                           " ",
                           "null",
                           "true",
                           "false",
                           "tru",
                           "nul",
                           "truex",
                           "0",
                           "-0",
                           "01",
                           "-",
                           "1.",
                           "1.5",
                           ".5",
                           "1e5",
                           "1E+5",
                           "1e",
                           "1e+",
                           "1.5e-3",
                           "--1",
                           "+1",
                           "NaN",
                           "Infinity",
                           "\"\"",
                           "\"a",
                           "\"\\\"",
                           "\"\\x\"",
                           "\"\\u12\"",
                           "\"\\u0041\"",
                           "\"\\ud83d\\ude00\"",
                           "\"\\ud83d\"",
                           "\"\\ude00\"",
                           "\"\\ud83dx\"",
                           "\"\t\"",
                           "\"\\t\\n\\/\\b\\f\\r\"",
                           "[]",
                           "[",
                           "]",
                           "[1,]",
                           "[,1]",
                           "[1 2]",
                           "{}",
                           "{",
                           "}",
                           "{\"a\"}",
                           "{\"a\":}",
                           "{\"a\":1,}",
                           "{a:1}",
                           "{\"a\":1}",
                           "{\"a\":{\"b\":[]}}",
                           "[1][2]",
                           "{} {}",
                           "[1]x",
                           " [ 1 , 2 ] ",
                           "\xEF\xBB\xBF{}",
                           "\"\x7f\"",
                           "\"\xE4\xBD\xA0\"",
                           "\"\\u0000\"",
                           "[[],[[]],{}]",
                           "'a'",
                           "/*c*/1",
                           "[1]//"}) {
    // nlohmann skips a byte order mark; RFC 8259 lets a reader refuse it, and we do.
    if (std::string_view(text).substr(0, 3) == "\xEF\xBB\xBF") continue;
    Compare(text);
  }
}

std::string RandomText(std::mt19937& rng, int depth) {
  static const std::vector<std::string> kScalars = {"null",
                                                    "true",
                                                    "false",
                                                    "0",
                                                    "-1",
                                                    "12.5",
                                                    "1e3",
                                                    "-0.0",
                                                    "\"\"",
                                                    "\"x\"",
                                                    "\"\\u00e9\\n\"",
                                                    "\"\xF0\x9F\x98\x80\"",
                                                    "9007199254740993",
                                                    "0.1"};
  const unsigned kind = rng() % (depth > 4 ? 1 : 3);
  if (kind == 0) return kScalars[rng() % kScalars.size()];
  std::string out = kind == 1 ? "[" : "{";
  const unsigned count = rng() % 4;
  for (unsigned i = 0; i < count; ++i) {
    if (i > 0) out += rng() % 2 ? "," : " ,\n";
    if (kind == 2) out += "\"k" + std::to_string(i) + "\": ";
    out += RandomText(rng, depth + 1);
  }
  return out + (kind == 1 ? "]" : "}");
}

TEST(JsonReader, AgreesWithNlohmannOnRandomAndDamagedTexts) {
  std::mt19937 rng(7);
  static constexpr char kBytes[] = "{}[]\",:0123456789eE+-.\\utrflsn \x01\xC3\xA9\xFF";
  int accepted = 0;
  for (int i = 0; i < 20000; ++i) {
    std::string text = RandomText(rng, 0);
    const unsigned edits = rng() % 3;
    for (unsigned e = 0; e < edits && !text.empty(); ++e) {
      const size_t at = rng() % text.size();
      if (rng() % 2) {
        text[at] = kBytes[rng() % (sizeof(kBytes) - 1)];
      } else {
        text.erase(at, 1);
      }
    }
    accepted += JsonDocument::Parse(text).ok();
    ASSERT_NO_FATAL_FAILURE(Compare(text));
  }
  EXPECT_GT(accepted, 6000);
  EXPECT_LT(accepted, 19000);
}

TEST(JsonReader, KeepsTheSourceTextOfEveryValue) {
  const std::string text = R"( {"b" : 1.50, "a":[ 1e2,{"z":0.10 , "y":"\u0041"} ] } )";
  const auto document = JsonDocument::Parse(text);
  ASSERT_TRUE(document.ok());
  EXPECT_EQ(document->root().Find("b")->raw(), "1.50");
  EXPECT_EQ(document->root().Find("a")->raw(), R"([ 1e2,{"z":0.10 , "y":"\u0041"} ])");
  EXPECT_EQ(document->root().Find("a")->Elements()[1].Find("y")->AsString(), "A");
  EXPECT_FALSE(document->root().Find("c").has_value());
}

TEST(JsonReader, BoundsDepthAndCount) {
  EXPECT_TRUE(JsonDocument::Parse(std::string(128, '[') + std::string(128, ']')).ok());
  const auto deep = JsonDocument::Parse(std::string(129, '[') + std::string(129, ']'));
  EXPECT_EQ(deep.status().message(),
            "the body is not valid JSON: nested deeper than 128 levels at byte 128");
  EXPECT_FALSE(JsonDocument::Parse(std::string(100000, '[')).ok());
  std::string objects;
  for (int i = 0; i < 100000; ++i) objects += "{\"a\":";
  EXPECT_FALSE(JsonDocument::Parse(objects).ok());
  EXPECT_FALSE(JsonDocument::Parse("[1,2,3]", {.depth = 4, .values = 3}).ok());
  EXPECT_TRUE(JsonDocument::Parse("[1,2,3]", {.depth = 4, .values = 4}).ok());
}

TEST(JsonReader, RefusesDuplicateKeysHoweverSpelled) {
  const auto plain = JsonDocument::Parse(R"({"a":1,"b":2,"a":3})");
  EXPECT_EQ(plain.status().message(),
            "the body is not valid JSON: the key \"a\" appears twice in one object at byte 19");
  EXPECT_FALSE(JsonDocument::Parse(R"({"a":1,"\u0061":3})").ok());
  EXPECT_TRUE(JsonDocument::Parse(R"([{"a":1},{"a":3}])").ok());
}

TEST(JsonReader, RefusesInvalidUtf8WithItsPlace) {
  for (const char* bad : {"\"\xFF\"", "\"\xC0\x80\"", "\"\xED\xA0\x80\"", "\"\xF4\x90\x80\x80\"",
                          "\"\xE4\xBD\"", "\"\x80\"", "\"\xF0\x8F\x80\x80\"", "\"\xC3"}) {
    const auto parsed = JsonDocument::Parse(bad);
    EXPECT_EQ(parsed.status().message(), "the body is not valid UTF-8 at byte 1") << bad;
  }
}

TEST(JsonReader, ReadsNumbersExactly) {
  const auto at = [](const std::string& text) { return JsonDocument::Parse(text); };
  EXPECT_EQ(at("9223372036854775807")->root().AsInt64(), INT64_MAX);
  EXPECT_EQ(at("9223372036854775808")->root().AsInt64(), std::nullopt);
  EXPECT_EQ(at("18446744073709551615")->root().AsUint64(), UINT64_MAX);
  EXPECT_EQ(at("18446744073709551616")->root().AsUint64(), std::nullopt);
  EXPECT_EQ(at("2.0")->root().AsInt64(), 2);
  EXPECT_EQ(at("1e2")->root().AsInt64(), 100);
  EXPECT_EQ(at("2.5")->root().AsInt64(), std::nullopt);
  EXPECT_EQ(at("-3")->root().AsUint64(), std::nullopt);
  EXPECT_EQ(at("1e999")->root().AsDouble(), std::nullopt);
  EXPECT_EQ(at("1e999")->root().AsInt64(), std::nullopt);
  EXPECT_EQ(at("1e-999")->root().AsDouble(), 0.0);
}

TEST(JsonWriter, EscapesAndRepairs) {
  JsonWriter json;
  json.BeginObject().Key("a\"\\\n\x01").String("\xE4\xBD\xA0 \xE4 \xFFz");
  json.Key("list").BeginArray().Int(-5).Bool(true).Null().Float(-0.25f).Float(0.0f).EndArray();
  json.Key("raw").Raw("{ }").EndObject();
  EXPECT_EQ(json.Take(),
            "{\"a\\\"\\\\\\n\\u0001\":\"\xE4\xBD\xA0 \xEF\xBF\xBD \xEF\xBF\xBDz\","
            "\"list\":[-5,true,null,-0.25,0.0],\"raw\":{ }}");
}

TEST(JsonWriter, FloatsReadBackAndAreNeverInvalid) {
  std::mt19937 rng(3);
  for (int i = 0; i < 10000; ++i) {
    const uint32_t bits = rng();
    float value;
    static_assert(sizeof(value) == sizeof(bits));
    std::memcpy(&value, &bits, sizeof(value));
    JsonWriter json;
    const std::string text = json.BeginArray().Float(value).EndArray().Take();
    const Json back = Json::parse(text, nullptr, false);
    ASSERT_FALSE(back.is_discarded()) << text;
    if (std::isnan(value)) {
      EXPECT_TRUE(back[0].is_null());
    } else if (!std::isinf(value)) {
      EXPECT_EQ(back[0].get<float>(), value) << text;
    }
  }
}

}  // namespace
}  // namespace sluice::gateway
