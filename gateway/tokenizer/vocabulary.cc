// SPDX-License-Identifier: Apache-2.0
#include "gateway/tokenizer/vocabulary.h"

#include <algorithm>
#include <unordered_set>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "gateway/tokenizer/byte_level.h"
#include "proto/wire/status_macros.h"

namespace sluice::gateway {
namespace {

absl::Status Refuse(const std::string& path, std::string_view what) {
  return absl::InvalidArgumentError(
      absl::StrCat("tokenizer.json at ", path, ": ", std::string(what)));
}

// Spellings come from the file: a hostile one must not fill the log.
std::string Quoted(std::string_view spelling) {
  return absl::StrCat("\"", std::string(spelling.substr(0, 100)), "\"");
}

}  // namespace

absl::StatusOr<Vocabulary> Vocabulary::Create(const TokenizerJson& json) {
  Vocabulary vocabulary;
  SpellingIndex index;
  SLUICE_RETURN_IF_ERROR(vocabulary.AddModelTokens(json, index));
  SLUICE_RETURN_IF_ERROR(vocabulary.FindByteIds(index));
  SLUICE_RETURN_IF_ERROR(vocabulary.AddMerges(json, index));
  SLUICE_RETURN_IF_ERROR(vocabulary.AddAddedTokens(json, index));
  return vocabulary;
}

absl::Status Vocabulary::AddToken(TokenId id, std::string_view spelling, const std::string& path) {
  if (static_cast<size_t>(id) >= spans_.size()) spans_.resize(static_cast<size_t>(id) + 1);
  ByteSpan& span = spans_[static_cast<size_t>(id)];
  if (span.used) return Refuse(path, absl::StrCat("id ", id, " is given to two tokens"));
  const std::optional<std::string> bytes = BytesOfSpelling(spelling);
  span.used = true;
  span.is_spelled_in_bytes = bytes.has_value();
  span.begin = static_cast<uint32_t>(bytes_.size());  // below 2^32: the file has at most 2^28 bytes
  bytes_ += bytes.has_value() ? std::string_view(*bytes) : spelling;
  span.size = static_cast<uint32_t>(bytes_.size()) - span.begin;
  return absl::OkStatus();
}

absl::Status Vocabulary::AddModelTokens(const TokenizerJson& json, SpellingIndex& index) {
  index.reserve(json.vocab.size());
  model_ids_.reserve(json.vocab.size());
  for (const auto& [spelling, id] : json.vocab) {
    if (!index.emplace(spelling, id).second) {
      return Refuse("/model/vocab", absl::StrCat(Quoted(spelling), " is given twice"));
    }
    SLUICE_RETURN_IF_ERROR(AddToken(
        id, spelling, absl::StrCat("/model/vocab/", std::string(spelling.substr(0, 100)))));
    if (spans_[static_cast<size_t>(id)].is_spelled_in_bytes) model_ids_.push_back(id);
  }
  return absl::OkStatus();
}

absl::Status Vocabulary::FindByteIds(const SpellingIndex& index) {
  for (int byte = 0; byte < 256; ++byte) {
    const std::string spelling = SpellingOfBytes(std::string(1, static_cast<char>(byte)));
    const auto it = index.find(spelling);
    if (it == index.end()) {
      return Refuse("/model/vocab",
                    absl::StrCat("byte ", byte, " has no token, which would be spelled ",
                                 Quoted(spelling), "; some texts could not be encoded"));
    }
    byte_ids_[static_cast<size_t>(byte)] = it->second;
  }
  return absl::OkStatus();
}

absl::Status Vocabulary::AddMerges(const TokenizerJson& json, const SpellingIndex& index) {
  // The limit is the encoders': they keep a merge's place in 21 bits, as they do an id.
  if (json.merges.size() > static_cast<size_t>(kMaxTokenId)) {
    return Refuse("/model/merges", absl::StrCat("has ", json.merges.size(), " merges, at most ",
                                                kMaxTokenId, " are read"));
  }
  merges_.reserve(json.merges.size());
  std::unordered_set<uint64_t> seen(json.merges.size());
  for (size_t i = 0; i < json.merges.size(); ++i) {
    const auto& [left, right] = json.merges[i];
    const auto path = [&] { return absl::StrCat("/model/merges/", i); };
    const auto find = [&](const std::string& spelling) {
      const auto it = index.find(spelling);
      return it == index.end() ? TokenId{-1} : it->second;
    };
    const std::string joined = left + right;
    const Merge merge = {.left = find(left), .right = find(right), .result = find(joined)};
    for (const auto& [spelling, id] : {std::pair(&left, merge.left), std::pair(&right, merge.right),
                                       std::pair(&joined, merge.result)}) {
      if (id < 0)
        return Refuse(path(), absl::StrCat(Quoted(*spelling), " is not in the vocabulary"));
    }
    if (!seen.insert(static_cast<uint64_t>(merge.left) << 32 | static_cast<uint64_t>(merge.right))
             .second) {
      return Refuse(path(),
                    absl::StrCat(Quoted(left), " and ", Quoted(right), " were merged before"));
    }
    merges_.push_back(merge);
  }
  return absl::OkStatus();
}

absl::Status Vocabulary::AddAddedTokens(const TokenizerJson& json, const SpellingIndex& index) {
  std::unordered_set<std::string_view> seen;
  // Hugging Face ignores the file's ids: a token of the model keeps its id, others count up from
  // the vocabulary.
  auto next = static_cast<TokenId>(json.vocab.size());
  for (size_t i = 0; i < json.added_tokens.size(); ++i) {
    const AddedToken& token = json.added_tokens[i];
    const std::string path = absl::StrCat("/added_tokens/", i);
    if (!seen.insert(token.content).second) {
      return Refuse(path, absl::StrCat(Quoted(token.content), " is given twice"));
    }
    const std::optional<std::string> bytes = BytesOfSpelling(token.content);
    if (bytes.has_value() && *bytes != token.content) {
      return Refuse(path, absl::StrCat(Quoted(token.content),
                                       " would be decoded as byte-level spelling, to other text"));
    }
    const auto in_model = index.find(token.content);
    const TokenId expected = in_model == index.end() ? next++ : in_model->second;
    if (token.id != expected) {
      return Refuse(path, absl::StrCat(Quoted(token.content), " has id ", token.id,
                                       ", Hugging Face Tokenizers would use ", expected));
    }
    if (in_model == index.end()) SLUICE_RETURN_IF_ERROR(AddToken(token.id, token.content, path));
  }
  return absl::OkStatus();
}

std::optional<std::string_view> Vocabulary::Bytes(TokenId id) const {
  if (id < 0 || id >= size()) return std::nullopt;
  const ByteSpan& span = spans_[static_cast<size_t>(id)];
  if (!span.used) return std::nullopt;
  return std::string_view(bytes_).substr(span.begin, span.size);
}

std::optional<std::string> Vocabulary::Spelling(TokenId id) const {
  const std::optional<std::string_view> bytes = Bytes(id);
  if (!bytes.has_value()) return std::nullopt;
  if (!spans_[static_cast<size_t>(id)].is_spelled_in_bytes) return std::string(*bytes);
  return SpellingOfBytes(*bytes);
}

}  // namespace sluice::gateway
