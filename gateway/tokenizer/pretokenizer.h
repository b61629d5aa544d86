// SPDX-License-Identifier: Apache-2.0
// The pre-tokenizer of Qwen's tokenizer.json, compiled by hand: it cuts text into the pieces that
// byte-level BPE works on, exactly where Hugging Face's regex engine would with kQwenPattern and
// behaviour "isolated". Immutable, any thread.
#pragma once

#include <cstddef>
#include <string_view>

#include "gateway/tokenizer/char_properties.h"

namespace sluice::gateway {

// The one regex this was compiled for. Its alternatives, in order: English contractions; a word
// with at most one character before it; one digit; punctuation with a space before and line ends
// after; blank lines; spaces before a word, leaving one to it; other spaces.
inline constexpr std::string_view kQwenPattern =
    R"re((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)re";

class Pretokenizer {
 public:
  Pretokenizer() : properties_(CharProperties::Get()) {}

  // End of the piece that begins at `begin`. REQUIRES: text is valid UTF-8 and begin, less than its
  // size, starts a piece.
  size_t PieceEnd(std::string_view text, size_t begin) const;

 private:
  struct Char {
    CharClass char_class;
    uint32_t bytes;  // 0 at the end of the text
  };

  Char CharAt(std::string_view text, size_t pos) const;
  size_t LettersEnd(std::string_view text, size_t pos) const;
  size_t PunctuationEnd(std::string_view text, size_t pos) const;
  size_t SpacesEnd(std::string_view text, size_t begin) const;

  const CharProperties& properties_;
};

}  // namespace sluice::gateway
