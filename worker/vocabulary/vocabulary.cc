// SPDX-License-Identifier: Apache-2.0
#include "worker/vocabulary/vocabulary.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <fstream>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "proto/wire/status_macros.h"
#include "worker/base/sha256.h"

namespace sluice::worker {
namespace {

constexpr uint64_t kMaxFileBytes = 256 << 20;
// Bounds what a hostile file can make us allocate; the largest published vocabularies have a
// quarter of it.
constexpr uint64_t kMaxIds = 1 << 20;
constexpr int kMaxDepth = 64;

struct AddedToken {
  uint64_t id = 0;
  bool has_id = false;
  std::string content;
  bool special = false;
};

// Takes from the stream of JSON events the vocabulary and the added tokens, and lets 150,000 merges
// pass by without building them. Containers are counted by depth: the document is 1, "model" and
// "added_tokens" 2, "vocab" and one added token 3.
class Reader : public nlohmann::json_sax<nlohmann::json> {
 public:
  std::vector<std::pair<std::string, uint64_t>> vocab;
  std::vector<AddedToken> added;
  std::string model_type;
  std::string error;

  bool null() override { return true; }
  bool boolean(bool value) override {
    if (InAddedToken() && keys_[3] == "special") added.back().special = value;
    return true;
  }
  bool number_integer(number_integer_t) override { return NotAnId(); }
  bool number_float(number_float_t, const string_t&) override { return NotAnId(); }
  bool number_unsigned(number_unsigned_t value) override {
    const bool in_vocab = InVocab();
    if (!in_vocab && !(InAddedToken() && keys_[3] == "id")) return true;
    if (value >= kMaxIds) {
      return Fail(
          absl::StrCat("the id ", value, " is too large; ids below ", kMaxIds, " are accepted"));
    }
    if (in_vocab) {
      vocab.emplace_back(keys_[3], value);
    } else {
      added.back().id = value;
      added.back().has_id = true;
    }
    return true;
  }
  bool string(string_t& value) override {
    if (InAddedToken() && keys_[3] == "content") added.back().content = value;
    if (depth_ == 2 && keys_[1] == "model" && keys_[2] == "type") model_type = value;
    return !InVocab() || NotAnId();
  }
  bool binary(binary_t&) override { return true; }
  bool key(string_t& value) override {
    if (depth_ <= 3) keys_[static_cast<size_t>(depth_)] = value;
    return true;
  }
  bool start_object(size_t) override {
    if (!Open()) return false;
    if (depth_ == 3 && keys_[1] == "added_tokens") added.emplace_back();
    return true;
  }
  bool end_object() override { return Close(); }
  bool start_array(size_t) override { return Open(); }
  bool end_array() override { return Close(); }
  bool parse_error(size_t position, const std::string&, const nlohmann::json::exception&) override {
    return Fail(absl::StrCat("it is not valid JSON at byte ", position));
  }

 private:
  bool InVocab() const { return depth_ == 3 && keys_[1] == "model" && keys_[2] == "vocab"; }
  bool InAddedToken() const { return depth_ == 3 && keys_[1] == "added_tokens" && !added.empty(); }
  bool NotAnId() {
    const bool is_id = InVocab() || (InAddedToken() && keys_[3] == "id");
    return !is_id || Fail(absl::StrCat("the id of '", keys_[3], "' is not a whole number"));
  }
  bool Open() { return ++depth_ <= kMaxDepth || Fail("it is nested too deep"); }
  bool Close() {
    --depth_;
    if (depth_ < 3) keys_[static_cast<size_t>(depth_ + 1)].clear();
    return true;
  }
  bool Fail(std::string reason) {
    error = std::move(reason);
    return false;
  }

  int depth_ = 0;
  std::array<std::string, 4> keys_;  // the key last seen at each depth
};

// Byte-level BPE writes each byte as one printable character: printable Latin-1 stands for itself,
// the rest are moved to U+0100 and up in order. This is the way back; -1 where no byte maps to the
// character.
std::array<int, 512> MakeByteOfCharacter() {
  std::array<int, 512> table;
  table.fill(-1);
  int next = 256;
  for (int byte = 0; byte < 256; ++byte) {
    const bool printable = (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte != 0xAD);
    table[static_cast<size_t>(printable ? byte : next++)] = byte;
  }
  return table;
}

// False when the token holds a character that stands for no byte. The token is valid UTF-8 (JSON
// was checked).
bool DecodeByteLevel(const std::string& token, std::string* bytes) {
  static const std::array<int, 512> kByteOfCharacter = MakeByteOfCharacter();
  for (size_t i = 0; i < token.size(); ++i) {
    const auto lead = static_cast<unsigned char>(token[i]);
    size_t character = lead;
    if (lead >= 0x80) {
      // The alphabet ends at U+0143: two-byte sequences are enough.
      if (lead >= 0xC8 || i + 1 >= token.size()) return false;
      character = (lead & 0x1FU) << 6 | (static_cast<unsigned char>(token[++i]) & 0x3FU);
    }
    const int byte = kByteOfCharacter[character];
    if (byte < 0) return false;
    bytes->push_back(static_cast<char>(byte));
  }
  return true;
}

}  // namespace

absl::StatusOr<std::unique_ptr<const Vocabulary>> Vocabulary::Load(const std::string& path) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file) return absl::NotFoundError(absl::StrCat(path, " cannot be opened"));
  const std::streamoff size = file.tellg();
  if (size < 0 || static_cast<uint64_t>(size) > kMaxFileBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, " has ", size, " bytes; at most ", kMaxFileBytes, " are accepted"));
  }
  std::string text(static_cast<size_t>(size), '\0');
  file.seekg(0);
  if (!file.read(text.data(), size)) {
    return absl::InvalidArgumentError(absl::StrCat(path, " could not be read to its end"));
  }
  return Parse(text, path);
}

absl::StatusOr<std::unique_ptr<const Vocabulary>> Vocabulary::Parse(absl::string_view json,
                                                                    const std::string& path) {
  Reader reader;
  try {
    if (!nlohmann::json::sax_parse(json.begin(), json.end(), &reader)) {
      return absl::InvalidArgumentError(absl::StrCat(path, ": ", reader.error));
    }
  } catch (const nlohmann::json::exception& error) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": ", error.what()));
  }
  if (reader.model_type != "BPE" || reader.vocab.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": model.type is '", reader.model_type,
                                                   "' with ", reader.vocab.size(),
                                                   " tokens; a BPE vocabulary is needed"));
  }
  uint64_t largest = 0;
  for (const auto& [token, id] : reader.vocab) largest = std::max(largest, id);
  for (const AddedToken& token : reader.added) largest = std::max(largest, token.id);

  auto result = std::unique_ptr<Vocabulary>(new Vocabulary());
  result->bytes_.resize(largest + 1);
  result->added_.resize(largest + 1, Added::kNo);
  // Added first: a tokenizer may list them in the vocabulary too, where they are text, not
  // byte-level.
  for (const AddedToken& token : reader.added) {
    if (!token.has_id || token.content.empty()) {
      return absl::InvalidArgumentError(absl::StrCat(
          path, ": an entry of added_tokens lacks id or content ('", token.content, "')"));
    }
    const bool is_new =
        result->added_by_content_.emplace(token.content, static_cast<TokenId>(token.id)).second;
    if (!is_new || result->added_[token.id] != Added::kNo) {
      return absl::InvalidArgumentError(absl::StrCat(path, ": added_tokens repeats the id ",
                                                     token.id, " or the content ", token.content));
    }
    result->bytes_[token.id] = token.content;
    result->added_[token.id] = token.special ? Added::kSpecial : Added::kOrdinary;
  }
  SLUICE_RETURN_IF_ERROR(result->AddOrdinary(reader.vocab, path));
  Sha256 sha256;
  sha256.Update(json);
  result->sha256_ = sha256.Finish();
  return std::unique_ptr<const Vocabulary>(std::move(result));
}

absl::Status Vocabulary::AddOrdinary(const std::vector<std::pair<std::string, uint64_t>>& vocab,
                                     const std::string& path) {
  std::vector<bool> defined(bytes_.size());
  for (const auto& [token, id] : vocab) {
    if (added_[id] != Added::kNo) continue;
    if (defined[id]) {
      return absl::InvalidArgumentError(absl::StrCat(path, ": model.vocab gives the id ", id,
                                                     " twice, the second time to ", token));
    }
    defined[id] = true;
    if (!DecodeByteLevel(token, &bytes_[id])) {
      return absl::InvalidArgumentError(absl::StrCat(path, ": the token ", token, " (id ", id,
                                                     ") is not in the byte-level alphabet"));
    }
  }
  return absl::OkStatus();
}

std::optional<TokenId> Vocabulary::FindAdded(absl::string_view content) const {
  const auto found = added_by_content_.find(std::string(content));
  if (found == added_by_content_.end()) return std::nullopt;
  return found->second;
}

}  // namespace sluice::worker
