// SPDX-License-Identifier: Apache-2.0
#include "tests/gateway/tokenizer/small_tokenizer_json.h"

#include <set>

#include "gateway/tokenizer/byte_level.h"
#include "gateway/tokenizer/pretokenizer.h"

namespace sluice::gateway {

using nlohmann::ordered_json;

ordered_json SmallTokenizerJson(const ByteMerges& merges,
                                const std::vector<std::string>& added_tokens) {
  ordered_json vocab = ordered_json::object();
  for (int byte = 0; byte < 256; ++byte) {
    vocab[SpellingOfBytes(std::string(1, static_cast<char>(byte)))] = byte;
  }
  ordered_json merge_list = ordered_json::array();
  for (const auto& [left, right] : merges) {
    const std::string result = SpellingOfBytes(left + right);
    if (!vocab.contains(result)) {
      const size_t id = vocab.size();
      vocab[result] = id;
    }
    merge_list.push_back({SpellingOfBytes(left), SpellingOfBytes(right)});
  }
  ordered_json added = ordered_json::array();
  for (const std::string& content : added_tokens) {
    added.push_back({{"id", vocab.size() + added.size()},
                     {"content", content},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", false},
                     {"special", content.starts_with("<|")}});
  }
  const ordered_json byte_level = {{"type", "ByteLevel"},
                                   {"add_prefix_space", false},
                                   {"trim_offsets", false},
                                   {"use_regex", false}};
  const ordered_json split = {{"type", "Split"},
                              {"pattern", {{"Regex", std::string(kQwenPattern)}}},
                              {"behavior", "Isolated"},
                              {"invert", false}};
  return {{"version", "1.0"},
          {"truncation", nullptr},
          {"padding", nullptr},
          {"added_tokens", added},
          {"normalizer", {{"type", "NFC"}}},
          {"pre_tokenizer",
           {{"type", "Sequence"}, {"pretokenizers", ordered_json::array({split, byte_level})}}},
          {"post_processor", byte_level},
          {"decoder", byte_level},
          {"model",
           {{"type", "BPE"},
            {"dropout", nullptr},
            {"unk_token", nullptr},
            {"continuing_subword_prefix", ""},
            {"end_of_word_suffix", ""},
            {"fuse_unk", false},
            {"byte_fallback", false},
            {"ignore_merges", false},
            {"vocab", vocab},
            {"merges", merge_list}}}};
}

ByteMerges RandomMerges(std::mt19937& rng, int count, const std::string& alphabet) {
  std::vector<std::string> tokens;
  for (char c : alphabet) tokens.emplace_back(1, c);
  std::set<std::string> taken(tokens.begin(), tokens.end());
  ByteMerges merges;
  for (int tries = 0; static_cast<int>(merges.size()) < count && tries < 50 * count; ++tries) {
    const std::string& left = tokens[rng() % tokens.size()];
    const std::string& right = tokens[rng() % tokens.size()];
    if (left.size() + right.size() > 12 || !taken.insert(left + right).second) continue;
    merges.emplace_back(left, right);
    tokens.push_back(left + right);
  }
  return merges;
}

}  // namespace sluice::gateway
