// SPDX-License-Identifier: Apache-2.0
#include "gateway/tokenizer/tokenizer.h"

#include <cerrno>
#include <fstream>
#include <system_error>
#include <unordered_map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gateway/tokenizer/added_token_matcher.h"
#include "gateway/tokenizer/backtracking_encoder.h"
#include "gateway/tokenizer/merge_loop.h"
#include "gateway/tokenizer/nfc.h"
#include "gateway/tokenizer/pretokenizer.h"
#include "gateway/tokenizer/sha256.h"
#include "gateway/tokenizer/text_scan.h"
#include "gateway/tokenizer/tokenizer_json.h"
#include "gateway/tokenizer/utf8.h"
#include "gateway/tokenizer/vocabulary.h"
#include "proto/wire/status_macros.h"

namespace sluice::gateway {

struct Tokenizer::Impl {
  Impl(Vocabulary vocabulary_in, TokenizerJson json, std::string sha256_in)
      : vocabulary(std::move(vocabulary_in)),
        added_tokens(std::move(json.added_tokens)),
        added_matcher(added_tokens),
        sha256(std::move(sha256_in)) {
    for (size_t i = 0; i < added_tokens.size(); ++i) {
      added_by_id.emplace(added_tokens[i].id, i);
      added_by_content.emplace(added_tokens[i].content, i);
    }
    if (json.ignore_merges) {
      for (TokenId id : vocabulary.model_ids()) whole_pieces.emplace(*vocabulary.Bytes(id), id);
    }
    backtracking = BacktrackingEncoder::Create(vocabulary);
    if (backtracking == nullptr) merge_loop = std::make_unique<const MergeLoop>(vocabulary);
  }

  // Text without added tokens, in NFC.
  void EncodePieces(std::string_view text, std::vector<TokenId>& out) const {
    for (size_t pos = 0; pos < text.size();) {
      const size_t end = pretokenizer.PieceEnd(text, pos);
      EncodePiece(text.substr(pos, end - pos), out);
      pos = end;
    }
  }

  void EncodePiece(std::string_view piece, std::vector<TokenId>& out) const {
    if (!whole_pieces.empty()) {
      const auto it = whole_pieces.find(piece);
      if (it != whole_pieces.end()) {
        out.push_back(it->second);
        return;
      }
    }
    if (backtracking != nullptr) {
      backtracking->Encode(piece, out);
    } else {
      merge_loop->Encode(piece, out);
    }
  }

  const Vocabulary vocabulary;
  const std::vector<AddedToken> added_tokens;
  const AddedTokenMatcher added_matcher;
  const Pretokenizer pretokenizer;
  std::unique_ptr<const BacktrackingEncoder> backtracking;  // or else merge_loop
  std::unique_ptr<const MergeLoop> merge_loop;
  std::unordered_map<std::string_view, TokenId> whole_pieces;  // filled for ignore_merges alone
  std::unordered_map<TokenId, size_t> added_by_id;             // into added_tokens
  std::unordered_map<std::string_view, size_t> added_by_content;
  const std::string sha256;
};

namespace {

absl::Status CheckRanges(std::string_view text, std::span<const ByteRange> plain) {
  size_t previous_end = 0;
  for (const ByteRange& range : plain) {
    if (range.begin < previous_end || range.end < range.begin || range.end > text.size()) {
      return absl::InvalidArgumentError(
          absl::StrCat("plain ranges must be sorted, disjoint and within the text of ", text.size(),
                       " bytes; found [", range.begin, ", ", range.end, ") after one that ends at ",
                       previous_end));
    }
    previous_end = range.end;
  }
  return absl::OkStatus();
}

}  // namespace

Tokenizer::Tokenizer(std::unique_ptr<const Impl> impl) : impl_(std::move(impl)) {}
Tokenizer::~Tokenizer() = default;

absl::StatusOr<std::unique_ptr<const Tokenizer>> Tokenizer::Load(const std::string& path) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file) {
    return absl::NotFoundError(absl::StrCat("cannot open ", path, ": ",
                                            std::generic_category().message(errno),
                                            "; the model folder must hold tokenizer.json"));
  }
  const std::streamoff size = file.tellg();
  if (size < 0 || static_cast<size_t>(size) > kMaxTokenizerJsonBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, " has ", size, " bytes, at most ", kMaxTokenizerJsonBytes, " are read"));
  }
  std::string text(static_cast<size_t>(size), '\0');
  file.seekg(0);
  if (!file.read(text.data(), size)) {
    return absl::DataLossError(absl::StrCat("cannot read ", size, " bytes of ", path));
  }
  auto tokenizer = FromJson(text);
  if (!tokenizer.ok()) {
    return absl::Status(tokenizer.status().code(),
                        absl::StrCat(path, ": ", tokenizer.status().message()));
  }
  return tokenizer;
}

absl::StatusOr<std::unique_ptr<const Tokenizer>> Tokenizer::FromJson(std::string_view text) {
  SLUICE_ASSIGN_OR_RETURN(TokenizerJson json, ParseTokenizerJson(text));
  SLUICE_ASSIGN_OR_RETURN(Vocabulary vocabulary, Vocabulary::Create(json));
  return std::unique_ptr<const Tokenizer>(new Tokenizer(
      std::make_unique<const Impl>(std::move(vocabulary), std::move(json), Sha256Hex(text))));
}

absl::StatusOr<std::vector<TokenId>> Tokenizer::Encode(std::string_view text,
                                                       std::span<const ByteRange> plain) const {
  SLUICE_RETURN_IF_ERROR(CheckRanges(text, plain));
  const TextScan scan = ScanText(text);
  if (scan.valid_bytes != text.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("the text is not valid UTF-8 at byte ", scan.valid_bytes));
  }
  std::vector<TokenId> ids;
  ids.reserve(text.size() / 3 + 1);
  size_t pos = 0;
  while (pos < text.size()) {
    const auto added = impl_->added_matcher.Find(text, pos, plain);
    const size_t end = added.has_value() ? added->range.begin : text.size();
    const std::string_view segment = text.substr(pos, end - pos);
    if (scan.matters_to_nfc) {
      impl_->EncodePieces(NormalizeNfc(segment), ids);
    } else {
      impl_->EncodePieces(segment, ids);
    }
    if (!added.has_value()) break;
    ids.push_back(added->id);
    pos = added->range.end;
  }
  return ids;
}

std::optional<std::string_view> Tokenizer::TokenBytes(TokenId id) const {
  return impl_->vocabulary.Bytes(id);
}

std::string Tokenizer::Decode(std::span<const TokenId> ids, bool skip_special_tokens) const {
  std::string bytes;
  for (TokenId id : ids) {
    if (skip_special_tokens && IsSpecial(id)) continue;
    bytes += TokenBytes(id).value_or(std::string_view());
  }
  std::string text;
  text.reserve(bytes.size());
  const size_t used = AppendLossyUtf8(bytes, text);
  if (used != bytes.size()) AppendUtf8(U'\uFFFD', text);  // an incomplete character at the end
  return text;
}

std::optional<TokenId> Tokenizer::AddedTokenId(std::string_view content) const {
  const auto it = impl_->added_by_content.find(content);
  if (it == impl_->added_by_content.end()) return std::nullopt;
  return impl_->added_tokens[it->second].id;
}

bool Tokenizer::IsAdded(TokenId id) const { return impl_->added_by_id.contains(id); }

bool Tokenizer::IsSpecial(TokenId id) const {
  const auto it = impl_->added_by_id.find(id);
  return it != impl_->added_by_id.end() && impl_->added_tokens[it->second].special;
}

std::span<const AddedToken> Tokenizer::added_tokens() const { return impl_->added_tokens; }

int Tokenizer::vocab_size() const { return impl_->vocabulary.size(); }

std::optional<std::string> Tokenizer::TokenString(TokenId id) const {
  return impl_->vocabulary.Spelling(id);
}

const std::string& Tokenizer::sha256() const { return impl_->sha256; }

}  // namespace sluice::gateway
