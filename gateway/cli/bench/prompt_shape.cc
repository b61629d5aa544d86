// SPDX-License-Identifier: Apache-2.0
#include "gateway/cli/bench/prompt_shape.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <sstream>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "proto/wire/status_macros.h"

namespace sluice::gateway {
namespace {

constexpr char kWords[] =
    "the of and to in is that it was for on are as with his they at be this have from or one had "
    "by word but not what all were we when your can said there use an each which she do how their "
    "if will up other about out many then them these so some her would make like him into time "
    "has look two more write go see number no way could people my than first water been call who "
    "oil its now find long down day did get come made may part over new sound take only little "
    "work know place year live me back give most very after thing our just name good sentence man "
    "think say great where help through much before line right too mean old any same tell boy "
    "follow came want show also around form three small set put end does another well large must "
    "big even such because turn here why ask went men read need land different home us move try "
    "kind hand picture again change off play spell air away animal house point page letter mother "
    "answer found study still learn should world high every near add food between own below "
    "country plant last school father keep tree never start city earth eye light thought head "
    "under story saw left few while along might close something seem next hard open example begin "
    "life always those both paper together got group often run";
constexpr size_t kFewCounted = 32;
constexpr size_t kFewestWords = 32;

using WordList = std::vector<std::string>;

WordList AllWords() {
  std::istringstream stream(kWords);
  WordList words;
  for (std::string word; stream >> word;) words.push_back(word);
  return words;
}

absl::StatusOr<double> Count(const TokenCounter& count, const WordList& words) {
  SLUICE_ASSIGN_OR_RETURN(const int64_t tokens, count(absl::StrJoin(words, " ")));
  if (tokens <= 0) return absl::InternalError("the server counted no tokens");
  return static_cast<double>(tokens);
}

// Splits until what is left is words of one token. They are counted after another word, since a
// word at the very beginning has no space before it and may be other tokens.
absl::Status KeepOneTokenWords(const TokenCounter& count, const std::string& first,
                               double first_tokens, const WordList& words, WordList* kept) {
  WordList text = {first};
  text.insert(text.end(), words.begin(), words.end());
  SLUICE_ASSIGN_OR_RETURN(const double tokens, Count(count, text));
  if (tokens - first_tokens == static_cast<double>(words.size())) {
    kept->insert(kept->end(), words.begin(), words.end());
    return absl::OkStatus();
  }
  if (words.size() == 1) return absl::OkStatus();
  const auto middle = words.begin() + static_cast<std::ptrdiff_t>(words.size() / 2);
  SLUICE_RETURN_IF_ERROR(
      KeepOneTokenWords(count, first, first_tokens, {words.begin(), middle}, kept));
  return KeepOneTokenWords(count, first, first_tokens, {middle, words.end()}, kept);
}

}  // namespace

int PromptShape::WordsFor(double tokens, int least) const {
  return std::max(least, static_cast<int>(std::lround(tokens / tokens_per_word)));
}

PromptShape AssumedPromptShape() {
  PromptShape shape;
  shape.words = AllWords();
  return shape;
}

absl::StatusOr<PromptShape> MeasurePromptShape(const TokenCounter& count) {
  PromptShape shape = AssumedPromptShape();
  const WordList few(shape.words.begin(), shape.words.begin() + kFewCounted);
  SLUICE_ASSIGN_OR_RETURN(const double few_tokens, Count(count, few));
  SLUICE_ASSIGN_OR_RETURN(const double all_tokens, Count(count, shape.words));
  shape.tokens_per_word =
      (all_tokens - few_tokens) / static_cast<double>(shape.words.size() - few.size());
  if (!(shape.tokens_per_word > 0)) {
    return absl::InternalError("the server's token counts do not grow with the prompt");
  }
  shape.template_tokens = few_tokens - shape.tokens_per_word * static_cast<double>(few.size());
  shape.how = "two prompts counted by the server's usage";
  return shape;
}

absl::StatusOr<PromptShape> MeasureExactPromptShape(const TokenCounter& count) {
  SLUICE_ASSIGN_OR_RETURN(PromptShape shape, MeasurePromptShape(count));
  shape.how = "the server's /tokenize";
  const std::string& first = shape.words.front();
  SLUICE_ASSIGN_OR_RETURN(const double first_tokens, Count(count, {first}));
  WordList kept;
  SLUICE_RETURN_IF_ERROR(KeepOneTokenWords(count, first, first_tokens, shape.words, &kept));
  if (kept.size() < kFewestWords) return shape;
  shape.words = std::move(kept);
  shape.tokens_per_word = 1;
  shape.template_tokens = first_tokens - 1;
  absl::StrAppend(&shape.how, ", ", shape.words.size(), " words of one token each");
  return shape;
}

std::string RandomWords(const PromptShape& shape, int num_words, RandomStream& random) {
  std::string text;
  text.reserve(static_cast<size_t>(num_words) * 6);
  for (int i = 0; i < num_words; ++i) {
    if (i > 0) text.push_back(' ');
    text.append(shape.words[random.Below(shape.words.size())]);
  }
  return text;
}

}  // namespace sluice::gateway
