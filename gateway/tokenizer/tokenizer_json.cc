// SPDX-License-Identifier: Apache-2.0
#include "gateway/tokenizer/tokenizer_json.h"

#include <initializer_list>
#include <nlohmann/json.hpp>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "gateway/tokenizer/json_tree.h"
#include "gateway/tokenizer/pretokenizer.h"
#include "proto/wire/status_macros.h"

namespace sluice::gateway {
namespace {

using nlohmann::json;

// A value of the file and its path, for messages. A missing member is a null value of its own path.
class Node {
 public:
  Node(const json& value, std::string path) : value_(value), path_(std::move(path)) {}

  const json& value() const { return value_; }

  Node At(const char* key) const {
    static const json kMissing;
    const std::string path = absl::StrCat(path_, "/", key);
    if (!value_.is_object()) return Node(kMissing, path);
    const auto it = value_.find(key);
    return Node(it == value_.end() ? kMissing : *it, path);
  }
  Node At(size_t index) const { return Node(value_[index], absl::StrCat(path_, "/", index)); }

  absl::Status Refuse(std::string_view wanted) const {
    const std::string found = value_.dump(-1, ' ', true, json::error_handler_t::replace);
    constexpr size_t kShown = 200;
    return absl::InvalidArgumentError(absl::StrCat(
        "tokenizer.json at ", path_.empty() ? "/" : path_, ": found ", found.substr(0, kShown),
        found.size() > kShown ? "..." : "", ", only ", std::string(wanted),
        " is supported; use the tokenizer.json of a Qwen3 model"));
  }

  // The value is one of `allowed`; a missing member counts as null.
  absl::Status MustBe(std::initializer_list<json> allowed) const {
    std::string wanted;
    for (const json& candidate : allowed) {
      if (value_ == candidate) return absl::OkStatus();
      absl::StrAppend(&wanted, wanted.empty() ? "" : " or ", candidate.dump());
    }
    return Refuse(wanted);
  }

  absl::StatusOr<bool> Bool() const {
    if (!value_.is_boolean()) return Refuse("true or false");
    return value_.get<bool>();
  }

  absl::StatusOr<std::string> String() const {
    if (!value_.is_string()) return Refuse("a string");
    return value_.get<std::string>();
  }

 private:
  const json& value_;
  std::string path_;
};

absl::Status CheckPretokenizer(const Node& node) {
  SLUICE_RETURN_IF_ERROR(node.At("type").MustBe({"Sequence"}));
  const Node steps = node.At("pretokenizers");
  if (!steps.value().is_array() || steps.value().size() != 2) {
    return steps.Refuse("a Split followed by a ByteLevel");
  }
  const Node split = steps.At(size_t{0});
  SLUICE_RETURN_IF_ERROR(split.At("type").MustBe({"Split"}));
  SLUICE_RETURN_IF_ERROR(split.At("pattern").At("Regex").MustBe({std::string(kQwenPattern)}));
  SLUICE_RETURN_IF_ERROR(split.At("behavior").MustBe({"Isolated"}));
  SLUICE_RETURN_IF_ERROR(split.At("invert").MustBe({false}));
  const Node byte_level = steps.At(size_t{1});
  SLUICE_RETURN_IF_ERROR(byte_level.At("type").MustBe({"ByteLevel"}));
  SLUICE_RETURN_IF_ERROR(byte_level.At("add_prefix_space").MustBe({false}));
  return byte_level.At("use_regex").MustBe({false});
}

// Everything but the vocabulary and the merges, which were read on the way.
absl::Status CheckModel(const Node& model, TokenizerJson* out) {
  SLUICE_RETURN_IF_ERROR(model.At("type").MustBe({"BPE"}));
  SLUICE_RETURN_IF_ERROR(model.At("dropout").MustBe({nullptr}));
  SLUICE_RETURN_IF_ERROR(model.At("unk_token").MustBe({nullptr}));
  SLUICE_RETURN_IF_ERROR(model.At("continuing_subword_prefix").MustBe({"", nullptr}));
  SLUICE_RETURN_IF_ERROR(model.At("end_of_word_suffix").MustBe({"", nullptr}));
  SLUICE_RETURN_IF_ERROR(model.At("byte_fallback").MustBe({false, nullptr}));
  SLUICE_RETURN_IF_ERROR(model.At("ignore_merges").MustBe({false, true, nullptr}));
  out->ignore_merges = model.At("ignore_merges").value() == true;
  if (out->vocab.empty()) return model.At("vocab").Refuse("an object of tokens and ids");
  if (!model.At("merges").value().is_string()) {
    return model.At("merges").Refuse("an array of merges");
  }
  return absl::OkStatus();
}

absl::StatusOr<AddedToken> ReadAddedToken(const Node& node) {
  AddedToken token;
  const json& id = node.At("id").value();
  if (!id.is_number_unsigned() || id.get<uint64_t>() > static_cast<uint64_t>(kMaxTokenId)) {
    return node.At("id").Refuse(absl::StrCat("an integer from 0 to ", kMaxTokenId));
  }
  token.id = id.get<TokenId>();
  SLUICE_ASSIGN_OR_RETURN(token.content, node.At("content").String());
  if (token.content.empty() || token.content.size() > kMaxTokenBytes) {
    return node.At("content").Refuse(absl::StrCat("a text of 1 to ", kMaxTokenBytes, " bytes"));
  }
  // These change where a token is found; no Qwen3 model sets one.
  for (const char* option : {"single_word", "lstrip", "rstrip", "normalized"}) {
    SLUICE_RETURN_IF_ERROR(node.At(option).MustBe({false}));
  }
  SLUICE_ASSIGN_OR_RETURN(token.special, node.At("special").Bool());
  return token;
}

}  // namespace

absl::StatusOr<TokenizerJson> ParseTokenizerJson(std::string_view text) {
  if (text.size() > kMaxTokenizerJsonBytes) {
    return absl::InvalidArgumentError(absl::StrCat("tokenizer.json has ", text.size(),
                                                   " bytes, at most ", kMaxTokenizerJsonBytes,
                                                   " are read"));
  }
  TokenizerJson out;
  JsonTree tree(&out);
  // The SAX interface reports errors through the tree and throws nothing.
  if (!json::sax_parse(text, &tree)) return tree.status();

  const Node root(tree.root(), "");
  if (!root.value().is_object()) return root.Refuse("an object");
  SLUICE_RETURN_IF_ERROR(root.At("truncation").MustBe({nullptr}));
  SLUICE_RETURN_IF_ERROR(root.At("padding").MustBe({nullptr}));
  SLUICE_RETURN_IF_ERROR(root.At("normalizer").At("type").MustBe({"NFC"}));
  SLUICE_RETURN_IF_ERROR(CheckPretokenizer(root.At("pre_tokenizer")));
  // A ByteLevel post-processor only moves offsets, which are not computed here.
  if (!root.At("post_processor").value().is_null()) {
    SLUICE_RETURN_IF_ERROR(root.At("post_processor").At("type").MustBe({"ByteLevel"}));
  }
  SLUICE_RETURN_IF_ERROR(root.At("decoder").At("type").MustBe({"ByteLevel"}));
  SLUICE_RETURN_IF_ERROR(CheckModel(root.At("model"), &out));

  const Node added = root.At("added_tokens");
  if (!added.value().is_array()) return added.Refuse("an array");
  for (size_t i = 0; i < added.value().size(); ++i) {
    SLUICE_ASSIGN_OR_RETURN(AddedToken token, ReadAddedToken(added.At(i)));
    out.added_tokens.push_back(std::move(token));
  }
  return out;
}

}  // namespace sluice::gateway
