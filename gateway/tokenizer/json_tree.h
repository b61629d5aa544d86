// SPDX-License-Identifier: Apache-2.0
// JsonTree: nlohmann's SAX events of a tokenizer.json turned into two streams (model.vocab,
// model.merges: hundreds of thousands of entries, never held as JSON values) and a small bounded
// tree of everything else. Used by tokenizer_json.cc alone.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "gateway/tokenizer/tokenizer_json.h"

namespace sluice::gateway {

class JsonTree : public nlohmann::json_sax<nlohmann::json> {
 public:
  // Vocabulary and merges go to `out`, which must outlive this.
  explicit JsonTree(TokenizerJson* out) : out_(out) {}

  const nlohmann::json& root() const { return root_; }
  const absl::Status& status() const { return status_; }

  bool null() override { return Scalar(nullptr); }
  bool boolean(bool value) override { return Scalar(value); }
  bool number_integer(number_integer_t value) override { return Scalar(value); }
  bool number_unsigned(number_unsigned_t value) override;
  bool number_float(number_float_t value, const string_t& text) override;
  bool string(string_t& value) override;
  bool binary(binary_t& value) override;
  bool start_object(std::size_t elements) override;
  bool key(string_t& value) override;
  bool end_object() override { return End(); }
  bool start_array(std::size_t elements) override;
  bool end_array() override { return End(); }
  bool parse_error(std::size_t position, const std::string& token,
                   const nlohmann::detail::exception& error) override;

 private:
  static constexpr size_t kMaxDepth = 16;
  static constexpr size_t kMaxNodes = 1 << 20;

  enum class Kind { kTree, kVocab, kMerges, kMergePair };
  struct Level {
    Kind kind;
    nlohmann::json* node;  // of the tree; null in streams
    std::string key;       // object: the member being read
    size_t index = 0;      // array: the element being read
  };

  bool Scalar(nlohmann::json value);
  bool TreeValue(nlohmann::json value, nlohmann::json** placed);
  bool VocabEntry(uint64_t id);
  bool MergeText(const std::string& text);
  bool MergePart(std::string part);
  Kind CurrentKind() const { return levels_.empty() ? Kind::kTree : levels_.back().kind; }
  bool RefuseInStream();  // a value of a kind that the vocabulary or the merges cannot have
  bool Start(nlohmann::json container);
  bool End();
  void Advance();  // past the value just read
  std::string Path() const;
  bool Refuse(std::string_view what);  // sets status_; false

  TokenizerJson* const out_;
  nlohmann::json root_;
  std::vector<Level> levels_;
  std::vector<std::string> merge_parts_;
  size_t nodes_ = 0;
  absl::Status status_;
};

}  // namespace sluice::gateway
