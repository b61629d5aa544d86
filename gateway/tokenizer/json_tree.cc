// SPDX-License-Identifier: Apache-2.0
#include "gateway/tokenizer/json_tree.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace sluice::gateway {

using nlohmann::json;

std::string JsonTree::Path() const {
  std::string path;
  for (const Level& level : levels_) {
    const bool is_array = level.kind == Kind::kMerges || level.kind == Kind::kMergePair ||
                          (level.kind == Kind::kTree && level.node->is_array());
    // Keys come from the file: a hostile one must not fill the log.
    absl::StrAppend(&path, "/", is_array ? absl::StrCat(level.index) : level.key.substr(0, 100));
  }
  return path.empty() ? "/" : path;
}

bool JsonTree::Refuse(std::string_view what) {
  status_ = absl::InvalidArgumentError(
      absl::StrCat("tokenizer.json at ", Path(), ": ", std::string(what)));
  return false;
}

bool JsonTree::parse_error(std::size_t position, const std::string& /*token*/,
                           const nlohmann::detail::exception& error) {
  status_ = absl::InvalidArgumentError(absl::StrCat("tokenizer.json is not valid JSON at byte ",
                                                    position, ", within ", Path(), ": ",
                                                    std::string(error.what()).substr(0, 300)));
  return false;
}

bool JsonTree::number_float(number_float_t value, const string_t& /*text*/) {
  return Scalar(value);
}

bool JsonTree::binary(binary_t& /*value*/) { return Refuse("binary value"); }

bool JsonTree::key(string_t& value) {
  Level& level = levels_.back();
  level.key = std::move(value);
  if (level.kind == Kind::kTree && level.node->contains(level.key)) return Refuse("given twice");
  return true;
}

void JsonTree::Advance() {
  if (!levels_.empty()) ++levels_.back().index;
}

bool JsonTree::Scalar(json value) {
  if (CurrentKind() != Kind::kTree) return RefuseInStream();
  if (!TreeValue(std::move(value), nullptr)) return false;
  Advance();
  return true;
}

bool JsonTree::number_unsigned(number_unsigned_t value) {
  if (CurrentKind() != Kind::kVocab) return Scalar(value);
  if (!VocabEntry(value)) return false;
  Advance();
  return true;
}

bool JsonTree::string(string_t& value) {
  bool accepted = false;
  if (CurrentKind() == Kind::kMerges) {
    accepted = MergeText(value);
  } else if (CurrentKind() == Kind::kMergePair) {
    accepted = MergePart(std::move(value));
  } else {
    return Scalar(std::move(value));
  }
  if (accepted) Advance();
  return accepted;
}

bool JsonTree::RefuseInStream() {
  return Refuse(CurrentKind() == Kind::kVocab
                    ? absl::StrCat("an id must be an integer from 0 to ", kMaxTokenId)
                    : "a merge must be two tokens: an array of two strings, or \"a b\"");
}

bool JsonTree::TreeValue(json value, json** placed) {
  if (++nodes_ > kMaxNodes) return Refuse(absl::StrCat("more than ", kMaxNodes, " values"));
  json* place = &root_;
  if (!levels_.empty()) {
    Level& level = levels_.back();
    if (level.node->is_array()) {
      level.node->push_back(nullptr);
      place = &level.node->back();
    } else {
      place = &(*level.node)[level.key];
    }
  }
  *place = std::move(value);
  if (placed != nullptr) *placed = place;
  return true;
}

bool JsonTree::VocabEntry(uint64_t id) {
  if (id > static_cast<uint64_t>(kMaxTokenId)) {
    return Refuse(absl::StrCat("id ", id, " is above ", kMaxTokenId, ", the largest allowed"));
  }
  std::string& token = levels_.back().key;
  if (token.size() > kMaxTokenBytes) {
    return Refuse(
        absl::StrCat("a token of ", token.size(), " bytes, at most ", kMaxTokenBytes, " are read"));
  }
  out_->vocab.emplace_back(std::move(token), static_cast<TokenId>(id));
  return true;
}

bool JsonTree::MergeText(const std::string& text) {
  const size_t space = text.find(' ');
  if (space == std::string::npos || text.find(' ', space + 1) != std::string::npos) {
    return Refuse(absl::StrCat("a merge must be two tokens with one space between, found \"",
                               text.substr(0, 100), "\""));
  }
  merge_parts_.clear();
  if (!MergePart(text.substr(0, space)) || !MergePart(text.substr(space + 1))) return false;
  out_->merges.emplace_back(std::move(merge_parts_[0]), std::move(merge_parts_[1]));
  return true;
}

bool JsonTree::MergePart(std::string part) {
  if (merge_parts_.size() == 2) return Refuse("a merge of more than two strings");
  if (part.size() > kMaxTokenBytes) {
    return Refuse(
        absl::StrCat("a token of ", part.size(), " bytes, at most ", kMaxTokenBytes, " are read"));
  }
  merge_parts_.push_back(std::move(part));
  return true;
}

bool JsonTree::start_object(std::size_t /*elements*/) {
  if (levels_.size() == 2 && levels_[0].key == "model" && levels_[1].key == "vocab" &&
      levels_[1].kind == Kind::kTree) {
    if (!TreeValue("streamed", nullptr)) return false;
    levels_.push_back({.kind = Kind::kVocab, .node = nullptr, .key = {}});
    return true;
  }
  return Start(json::object());
}

bool JsonTree::start_array(std::size_t /*elements*/) {
  if (levels_.size() == 2 && levels_[0].key == "model" && levels_[1].key == "merges" &&
      levels_[1].kind == Kind::kTree) {
    if (!TreeValue("streamed", nullptr)) return false;
    levels_.push_back({.kind = Kind::kMerges, .node = nullptr, .key = {}});
    return true;
  }
  if (CurrentKind() == Kind::kMerges) {
    merge_parts_.clear();
    levels_.push_back({.kind = Kind::kMergePair, .node = nullptr, .key = {}});
    return true;
  }
  return Start(json::array());
}

bool JsonTree::Start(json container) {
  if (CurrentKind() != Kind::kTree) return RefuseInStream();
  if (levels_.size() == kMaxDepth) {
    return Refuse(absl::StrCat("nested more than ", kMaxDepth, " deep"));
  }
  json* node = nullptr;
  if (!TreeValue(std::move(container), &node)) return false;
  levels_.push_back({.kind = Kind::kTree, .node = node, .key = {}});
  return true;
}

bool JsonTree::End() {
  const bool is_merge = CurrentKind() == Kind::kMergePair;
  levels_.pop_back();
  if (is_merge) {
    if (merge_parts_.size() != 2) return Refuse("a merge of fewer than two strings");
    out_->merges.emplace_back(std::move(merge_parts_[0]), std::move(merge_parts_[1]));
  }
  Advance();
  return true;
}

}  // namespace sluice::gateway
