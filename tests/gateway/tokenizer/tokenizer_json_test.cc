// SPDX-License-Identifier: Apache-2.0
// What Tokenizer::FromJson refuses, and that it says where and why.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "gateway/tokenizer/tokenizer.h"
#include "tests/gateway/tokenizer/small_tokenizer_json.h"

namespace sluice::gateway {
namespace {

using nlohmann::ordered_json;
using ::testing::AllOf;
using ::testing::HasSubstr;

ordered_json Valid() { return SmallTokenizerJson({{"a", "b"}, {"ab", "c"}}, {"<|end|>", "<t>"}); }

// The message for a valid file after `change`.
std::string Refusal(const std::function<void(ordered_json&)>& change) {
  ordered_json json = Valid();
  change(json);
  const auto tokenizer = Tokenizer::FromJson(json.dump());
  return tokenizer.ok() ? "accepted" : std::string(tokenizer.status().message());
}

std::string RefusalOfText(std::string_view text) {
  const auto tokenizer = Tokenizer::FromJson(text);
  return tokenizer.ok() ? "accepted" : std::string(tokenizer.status().message());
}

// Sets the value at a JSON pointer.
std::function<void(ordered_json&)> Set(const std::string& pointer, ordered_json value) {
  return [=](ordered_json& json) { json[ordered_json::json_pointer(pointer)] = value; };
}

TEST(TokenizerJsonTest, AcceptsWhatItIsMadeFor) {
  EXPECT_EQ(Refusal([](ordered_json&) {}), "accepted");
  EXPECT_EQ(Refusal(Set("/model/ignore_merges", true)), "accepted");
  EXPECT_EQ(Refusal(Set("/model/merges", {"a b", "ab c"})), "accepted");
  EXPECT_EQ(Refusal(Set("/post_processor", nullptr)), "accepted");
  EXPECT_EQ(Refusal([](ordered_json& json) { json["model"].erase("dropout"); }), "accepted");
}

TEST(TokenizerJsonTest, RefusesOtherComponentsByPath) {
  const std::pair<const char*, ordered_json> cases[] = {
      {"/model/type", "WordPiece"},
      {"/model/byte_fallback", true},
      {"/model/dropout", 0.1},
      {"/model/unk_token", "<unk>"},
      {"/model/continuing_subword_prefix", "##"},
      {"/model/end_of_word_suffix", "</w>"},
      {"/model/ignore_merges", 1},
      {"/normalizer/type", "NFKC"},
      {"/pre_tokenizer/type", "Whitespace"},
      {"/pre_tokenizer/pretokenizers/0/type", "Punctuation"},
      {"/pre_tokenizer/pretokenizers/0/pattern/Regex", "\\p{L}+|\\p{N}{1,3}"},
      {"/pre_tokenizer/pretokenizers/0/behavior", "Removed"},
      {"/pre_tokenizer/pretokenizers/0/invert", true},
      {"/pre_tokenizer/pretokenizers/1/type", "Metaspace"},
      {"/pre_tokenizer/pretokenizers/1/use_regex", true},
      {"/pre_tokenizer/pretokenizers/1/add_prefix_space", true},
      {"/post_processor/type", "TemplateProcessing"},
      {"/decoder/type", "WordPiece"},
      {"/truncation", {{"max_length", 5}}},
      {"/padding", {{"length", 5}}},
      {"/added_tokens/0/normalized", true},
      {"/added_tokens/1/single_word", true},
      {"/added_tokens/1/lstrip", true},
      {"/added_tokens/1/rstrip", true},
      {"/added_tokens/1/special", "yes"},
      {"/added_tokens/1/id", -4},
      {"/added_tokens/1/content", 7},
      {"/added_tokens/1/content", ""},
  };
  for (const auto& [pointer, value] : cases) {
    EXPECT_THAT(Refusal(Set(pointer, value)),
                AllOf(HasSubstr(std::string("at ") + pointer + ": found " + value.dump()),
                      HasSubstr("is supported")));
  }
}

TEST(TokenizerJsonTest, RefusesMissingComponents) {
  EXPECT_THAT(Refusal([](ordered_json& json) { json.erase("normalizer"); }),
              HasSubstr("at /normalizer/type: found null, only \"NFC\""));
  EXPECT_THAT(Refusal([](ordered_json& json) { json["added_tokens"][0].erase("normalized"); }),
              HasSubstr("at /added_tokens/0/normalized: found null"));
  EXPECT_THAT(Refusal([](ordered_json& json) { json["model"].erase("vocab"); }),
              HasSubstr("at /model/vocab: found null"));
  EXPECT_THAT(Refusal([](ordered_json& json) { json["model"].erase("merges"); }),
              HasSubstr("at /model/merges: found null"));
  EXPECT_THAT(Refusal(Set("/pre_tokenizer/pretokenizers", ordered_json::array())),
              HasSubstr("at /pre_tokenizer/pretokenizers: found []"));
  EXPECT_THAT(Refusal(Set("/added_tokens", 3)), HasSubstr("at /added_tokens: found 3"));
  EXPECT_THAT(RefusalOfText("[]"), HasSubstr("at /: found []"));
}

TEST(TokenizerJsonTest, RefusesABrokenVocabulary) {
  EXPECT_THAT(Refusal(Set("/model/vocab/ab", "x")), HasSubstr("at /model/vocab/ab: an id must be"));
  EXPECT_THAT(Refusal(Set("/model/vocab/ab", -1)), HasSubstr("at /model/vocab/ab: an id must be"));
  EXPECT_THAT(Refusal(Set("/model/vocab/ab", 1e6)), HasSubstr("at /model/vocab/ab: an id must be"));
  EXPECT_THAT(Refusal(Set("/model/vocab/ab", {1})), HasSubstr("at /model/vocab/ab: an id must be"));
  EXPECT_THAT(Refusal(Set("/model/vocab/ab", 4000000000u)),
              HasSubstr("at /model/vocab/ab: id 4000000000 is above"));
  EXPECT_THAT(Refusal(Set("/model/vocab/ab", 5)),
              HasSubstr("at /model/vocab/ab: id 5 is given to two tokens"));
  EXPECT_THAT(Refusal([](ordered_json& json) { json["model"]["vocab"].erase("Q"); }),
              HasSubstr("at /model/vocab: byte 81 has no token"));
  EXPECT_THAT(RefusalOfText(R"({"model": {"vocab": {"a": 1, "b": 2, "a": 3}}})"),
              HasSubstr("found null"))
      << "components are checked before the vocabulary";
  std::string twice = Valid().dump();
  twice.insert(twice.find("\"vocab\":{") + 9, "\"a\":900,");
  EXPECT_THAT(RefusalOfText(twice), HasSubstr("at /model/vocab: \"a\" is given twice"));
}

TEST(TokenizerJsonTest, RefusesBrokenMerges) {
  EXPECT_THAT(Refusal(Set("/model/merges/1", {"ab"})), HasSubstr("at /model/merges/1: a merge of"));
  EXPECT_THAT(Refusal(Set("/model/merges/1", {"ab", "c", "d"})),
              HasSubstr("at /model/merges/1/2: a merge of more than two"));
  EXPECT_THAT(Refusal(Set("/model/merges/1", {"ab", 3})),
              HasSubstr("at /model/merges/1/1: a merge"));
  EXPECT_THAT(Refusal(Set("/model/merges/1", "ab  c")), HasSubstr("at /model/merges/1: a merge"));
  EXPECT_THAT(Refusal(Set("/model/merges/1", "abc")), HasSubstr("at /model/merges/1: a merge"));
  EXPECT_THAT(Refusal(Set("/model/merges/1", nullptr)), HasSubstr("at /model/merges/1: a merge"));
  EXPECT_THAT(Refusal(Set("/model/merges/1", {"b", "a"})),
              HasSubstr("at /model/merges/1: \"ba\" is not in the vocabulary"));
  EXPECT_THAT(Refusal(Set("/model/merges/1", {"a", "b"})),
              HasSubstr("at /model/merges/1: \"a\" and \"b\" were merged before"));
}

TEST(TokenizerJsonTest, RefusesAddedTokensThatHuggingFaceSeesDifferently) {
  EXPECT_THAT(Refusal(Set("/added_tokens/1/id", 300)),
              HasSubstr("at /added_tokens/1: \"<t>\" has id 300, Hugging Face Tokenizers would use "
                        "259"));
  EXPECT_THAT(Refusal(Set("/added_tokens/1/content", "abc")), HasSubstr("would use 257"));
  EXPECT_THAT(Refusal(Set("/added_tokens/1/content", "<|end|>")), HasSubstr("is given twice"));
  EXPECT_THAT(
      Refusal(Set("/added_tokens/1/content", "<\u0120>")),
      HasSubstr("at /added_tokens/1: \"<\u0120>\" would be decoded as byte-level spelling"));
  EXPECT_EQ(Refusal(Set("/added_tokens/1/content", "<\uFF5C>")), "accepted");
}

TEST(TokenizerJsonTest, RefusesHostileJson) {
  EXPECT_THAT(RefusalOfText(""), HasSubstr("not valid JSON at byte"));
  EXPECT_THAT(RefusalOfText("{\"model\": {\"vocab\": {\"a\": 1,"),
              HasSubstr("within /model/vocab"));
  EXPECT_THAT(RefusalOfText("{\"version\": \"\xFF\"}"), HasSubstr("not valid JSON"));
  EXPECT_THAT(RefusalOfText("{\"model\": 1, \"model\": 2}"), HasSubstr("at /model: given twice"));
  EXPECT_THAT(RefusalOfText(std::string(1 << 20, '[')), HasSubstr("nested more than 16 deep"));
  std::string many = "{\"x\": [0";
  for (int i = 0; i < 1 << 20; ++i) many += ",0";
  EXPECT_THAT(RefusalOfText(many + "]}"), HasSubstr("more than 1048576 values"));
  const std::string long_key(5000, 'k');
  EXPECT_THAT(Refusal(Set("/model/vocab/" + long_key, 900)), HasSubstr("a token of 5000 bytes"));
  EXPECT_LT(Refusal(Set("/model/vocab/" + long_key, 900)).size(), 400u) << "the log is not filled";
}

TEST(TokenizerLoadTest, NamesTheFile) {
  EXPECT_THAT(std::string(Tokenizer::Load("/nonexistent/tokenizer.json").status().message()),
              HasSubstr("cannot open /nonexistent/tokenizer.json: No such file"));
}

}  // namespace
}  // namespace sluice::gateway
