// SPDX-License-Identifier: Apache-2.0
#include "gateway/chat/jinja/lexer.h"

#include <algorithm>
#include <charconv>

#include "absl/strings/str_cat.h"
#include "gateway/chat/jinja/json.h"
#include "gateway/chat/jinja/string_literal.h"
#include "gateway/chat/jinja/unicode.h"
#include "proto/wire/status_macros.h"

namespace sluice::gateway::jinja {
namespace {

// Two-character operators come first, so that the longest wins.
constexpr std::string_view kOperators[] = {"//", "**", "==", "!=", ">=", "<=", "+", "-", "/",
                                           "*",  "%",  "~",  "[",  "]",  "(",  ")", "{", "}",
                                           ">",  "<",  "=",  ".",  ":",  "|",  ",", ";"};

bool IsDigitChar(char c) { return c >= '0' && c <= '9'; }

// Every kind of line end becomes "\n", and one trailing newline goes.
std::string NormalizeNewlines(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] != '\r') {
      out.push_back(source[i]);
      continue;
    }
    out.push_back('\n');
    if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
  }
  if (!out.empty() && out.back() == '\n') out.pop_back();
  return out;
}

bool IsNamePoint(char32_t point) {
  if (point < 0x80) {
    return point == '_' || (point >= '0' && point <= '9') || (point >= 'a' && point <= 'z') ||
           (point >= 'A' && point <= 'Z');
  }
  return IsAlpha(point) || IsNumericCategory(point);
}

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(source) {}

  absl::StatusOr<std::vector<Token>> Run() {
    while (pos_ < source_.size()) SLUICE_RETURN_IF_ERROR(LexRoot());
    Add(TokenType::kEnd, "");
    return std::move(tokens_);
  }

 private:
  void Add(TokenType type, std::string text) {
    tokens_.push_back({type, line_, std::move(text), Value()});
  }

  bool At(std::string_view text, size_t pos) const {
    return source_.compare(pos, text.size(), text) == 0;
  }

  // Moves on to `end`, counting lines.
  void Advance(size_t end) {
    line_ += static_cast<int>(std::count(source_.begin() + static_cast<ptrdiff_t>(pos_),
                                         source_.begin() + static_cast<ptrdiff_t>(end), '\n'));
    line_starting_ = end > 0 && source_[end - 1] == '\n';
    pos_ = end;
  }

  size_t SkipSpace(size_t pos) const {
    while (pos < source_.size()) {
      const CodePoint point = DecodeAt(source_, pos);
      if (!IsSpace(point.value)) break;
      pos += point.length;
    }
    return pos;
  }

  char SignAt(size_t pos) const {
    return pos < source_.size() && (source_[pos] == '-' || source_[pos] == '+') ? source_[pos]
                                                                                : '\0';
  }

  // The data before a tag, cut as the tag's sign and lstrip_blocks say.
  std::string_view StripBefore(std::string_view text, char sign, bool is_variable) const {
    if (sign == '-') {
      size_t end = text.size();
      while (end > 0) {
        const CodePoint point = DecodeBefore(text, end);
        if (!IsSpace(point.value)) break;
        end -= point.length;
      }
      return text.substr(0, end);
    }
    if (sign == '+' || is_variable) return text;
    const size_t newline = text.rfind('\n');
    const size_t line_begin = newline == std::string_view::npos ? 0 : newline + 1;
    if (line_begin == 0 && !line_starting_) return text;
    for (size_t pos = line_begin; pos < text.size();) {
      const CodePoint point = DecodeAt(text, pos);
      if (!IsSpace(point.value)) return text;
      pos += point.length;
    }
    return text.substr(0, line_begin);
  }

  void AddData(size_t begin, size_t end, char sign, bool is_variable) {
    const std::string_view text =
        StripBefore(std::string_view(source_).substr(begin, end - begin), sign, is_variable);
    if (!text.empty()) Add(TokenType::kData, std::string(text));
  }

  // Where a tag that closes with `close` ("%}", "#}") at pos ends, its sign and the white space it
  // takes included; npos where there is none.
  size_t CloseAt(size_t pos, std::string_view close, bool trims_newline) const {
    if (At(close, pos)) {
      const size_t end = pos + close.size();
      return trims_newline && end < source_.size() && source_[end] == '\n' ? end + 1 : end;
    }
    if (pos < source_.size() && source_[pos] == '-' && At(close, pos + 1)) {
      return SkipSpace(pos + 1 + close.size());
    }
    if (trims_newline && pos < source_.size() && source_[pos] == '+' && At(close, pos + 1)) {
      return pos + 1 + close.size();
    }
    return std::string::npos;
  }

  // Data up to the next tag, and the tag.
  absl::Status LexRoot() {
    size_t tag = pos_;
    while (true) {
      tag = source_.find('{', tag);
      if (tag == std::string::npos) {
        Add(TokenType::kData, source_.substr(pos_));
        Advance(source_.size());
        return absl::OkStatus();
      }
      const char kind = tag + 1 < source_.size() ? source_[tag + 1] : '\0';
      if (kind == '%' || kind == '{' || kind == '#') break;
      ++tag;
    }
    const char kind = source_[tag + 1];
    const char sign = SignAt(tag + 2);
    AddData(pos_, tag, sign, kind == '{');
    Advance(tag);
    const size_t body = tag + 2 + (sign == '\0' ? 0 : 1);
    if (kind == '#') return LexComment(body);
    if (kind == '%') {
      const size_t raw = RawBodyAt(body);
      if (raw != std::string::npos) return LexRaw(raw);
    }
    Add(kind == '%' ? TokenType::kBlockBegin : TokenType::kVariableBegin, "");
    Advance(body);
    return LexTag(kind == '%');
  }

  // A comment or raw block that opens at the very end of the template is no error in Jinja2.
  absl::Status LexComment(size_t body) {
    if (body >= source_.size()) {
      Advance(source_.size());
      return absl::OkStatus();
    }
    for (size_t pos = body; pos < source_.size(); ++pos) {
      const size_t end = CloseAt(pos, "#}", true);
      if (end != std::string::npos) {
        Advance(end);
        return absl::OkStatus();
      }
    }
    return ErrorAtLine(line_, "a comment is not closed");
  }

  // Where the text of a raw block begins whose tag has the body at pos; npos where it is another
  // tag.
  size_t RawBodyAt(size_t pos) const {
    pos = SkipSpace(pos);
    if (!At("raw", pos)) return std::string::npos;
    pos = SkipSpace(pos + 3);
    if (At("-%}", pos)) return SkipSpace(pos + 3);
    return At("%}", pos) ? pos + 2 : std::string::npos;
  }

  absl::Status LexRaw(size_t body) {
    const int begin_line = line_;
    Advance(body);
    if (body == source_.size()) return absl::OkStatus();
    for (size_t tag = source_.find("{%", body); tag != std::string::npos;
         tag = source_.find("{%", tag + 1)) {
      const char sign = SignAt(tag + 2);
      size_t pos = SkipSpace(tag + 2 + (sign == '\0' ? 0 : 1));
      if (!At("endraw", pos)) continue;
      const size_t end = CloseAt(SkipSpace(pos + 6), "%}", true);
      if (end == std::string::npos) continue;
      AddData(body, tag, sign, false);
      Advance(end);
      return absl::OkStatus();
    }
    return ErrorAtLine(begin_line, "a raw block is not closed");
  }

  absl::Status LexTag(bool is_block) {
    const std::string_view close = is_block ? "%}" : "}}";
    std::string open_brackets;
    const int begin_line = line_;
    while (true) {
      if (open_brackets.empty()) {
        const size_t end = CloseAt(pos_, close, is_block);
        if (end != std::string::npos) {
          Add(is_block ? TokenType::kBlockEnd : TokenType::kVariableEnd, "");
          Advance(end);
          return absl::OkStatus();
        }
      }
      const size_t space_end = SkipSpace(pos_);
      if (space_end > pos_) {
        Advance(space_end);
        continue;
      }
      if (pos_ >= source_.size()) {
        return ErrorAtLine(begin_line,
                           absl::StrCat("a tag is not closed by '", is_block ? "%}" : "}}", "'"));
      }
      SLUICE_RETURN_IF_ERROR(LexToken(&open_brackets));
    }
  }

  absl::Status LexToken(std::string* open_brackets) {
    const char c = source_[pos_];
    if (IsDigitChar(c)) return LexNumber();
    if (c == '\'' || c == '"') return LexString(c);
    size_t end = pos_;
    while (end < source_.size()) {
      const CodePoint point = DecodeAt(source_, end);
      if (!IsNamePoint(point.value)) break;
      end += point.length;
    }
    if (end > pos_) {
      Add(TokenType::kName, source_.substr(pos_, end - pos_));
      Advance(end);
      return absl::OkStatus();
    }
    for (const std::string_view symbol : kOperators) {
      if (!At(symbol, pos_)) continue;
      SLUICE_RETURN_IF_ERROR(Balance(symbol, open_brackets));
      Add(TokenType::kOperator, std::string(symbol));
      Advance(pos_ + symbol.size());
      return absl::OkStatus();
    }
    return ErrorAtLine(line_,
                       absl::StrCat("unexpected character '",
                                    source_.substr(pos_, DecodeAt(source_, pos_).length), "'"));
  }

  absl::Status Balance(std::string_view symbol, std::string* open_brackets) const {
    if (symbol == "(") open_brackets->push_back(')');
    if (symbol == "[") open_brackets->push_back(']');
    if (symbol == "{") open_brackets->push_back('}');
    if (symbol != ")" && symbol != "]" && symbol != "}") return absl::OkStatus();
    if (open_brackets->empty() || open_brackets->back() != symbol[0]) {
      return ErrorAtLine(line_, absl::StrCat("unexpected '", std::string(symbol), "'"));
    }
    open_brackets->pop_back();
    return absl::OkStatus();
  }

  // Digits with single underscores between them, from pos; returns the end, or pos where there is
  // no digit.
  size_t DigitsAt(size_t pos) const {
    if (pos >= source_.size() || !IsDigitChar(source_[pos])) return pos;
    ++pos;
    while (pos < source_.size()) {
      if (IsDigitChar(source_[pos])) {
        ++pos;
      } else if (source_[pos] == '_' && pos + 1 < source_.size() && IsDigitChar(source_[pos + 1])) {
        pos += 2;
      } else {
        break;
      }
    }
    return pos;
  }

  // The end of a float literal at pos_, or pos_ where there is none.
  size_t FloatEnd() const {
    if (pos_ > 0 && source_[pos_ - 1] == '.') return pos_;
    size_t end = DigitsAt(pos_);
    bool is_float = false;
    if (end < source_.size() && source_[end] == '.') {
      const size_t fraction = DigitsAt(end + 1);
      if (fraction > end + 1) {
        end = fraction;
        is_float = true;
      }
    }
    if (end < source_.size() && (source_[end] == 'e' || source_[end] == 'E')) {
      const size_t digits = end + 1 + (SignAt(end + 1) == '\0' ? 0 : 1);
      const size_t exponent = DigitsAt(digits);
      if (exponent > digits) {
        end = exponent;
        is_float = true;
      }
    }
    return is_float ? end : pos_;
  }

  absl::Status LexNumber() {
    const size_t float_end = FloatEnd();
    const size_t end = float_end > pos_ ? float_end : IntegerEnd();
    std::string literal = source_.substr(pos_, end - pos_);
    literal.erase(std::remove(literal.begin(), literal.end(), '_'), literal.end());
    Token token{TokenType::kNumber, line_, literal, Value()};
    if (float_end > pos_) {
      token.number = Value::Float(ParseDouble(literal));
    } else {
      const int base = BaseOf(literal);
      if (base != 10) {
        int64_t value = 0;
        const char* literal_end = literal.data() + literal.size();
        if (std::from_chars(literal.data() + 2, literal_end, value, base).ec != std::errc()) {
          return ErrorAtLine(line_, absl::StrCat("the integer ", literal, " exceeds 64 bits"));
        }
        token.number = Value::Int(value);
      } else {
        absl::StatusOr<Value> value = ParseInteger(literal);
        if (!value.ok()) return ErrorAtLine(line_, std::string(value.status().message()));
        token.number = *std::move(value);
      }
    }
    tokens_.push_back(std::move(token));
    Advance(end);
    return absl::OkStatus();
  }

  static int BaseOf(std::string_view literal) {
    if (literal.size() < 3 || literal[0] != '0') return 10;
    switch (literal[1] | 0x20) {
      case 'b':
        return 2;
      case 'o':
        return 8;
      case 'x':
        return 16;
      default:
        return 10;
    }
  }

  size_t IntegerEnd() const {
    if (source_[pos_] != '0') return DigitsAt(pos_);
    const char mark = pos_ + 1 < source_.size() ? static_cast<char>(source_[pos_ + 1] | 0x20) : 0;
    if (mark == 'b' || mark == 'o' || mark == 'x') {
      size_t end = pos_ + 2;
      const auto digit = [&](size_t pos) {
        if (pos >= source_.size()) return false;
        const char c = source_[pos];
        if (mark == 'b') return c == '0' || c == '1';
        if (mark == 'o') return c >= '0' && c <= '7';
        return IsDigitChar(c) || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
      };
      while (true) {
        const size_t next = end < source_.size() && source_[end] == '_' ? end + 1 : end;
        if (!digit(next)) break;
        end = next + 1;
      }
      if (end > pos_ + 2) return end;
    }
    // A decimal that starts with 0 is zeros only.
    size_t end = pos_ + 1;
    while (true) {
      const size_t next = end < source_.size() && source_[end] == '_' ? end + 1 : end;
      if (next >= source_.size() || source_[next] != '0') break;
      end = next + 1;
    }
    return end;
  }

  absl::Status LexString(char quote) {
    size_t end = pos_ + 1;
    while (end < source_.size() && source_[end] != quote) end += source_[end] == '\\' ? 2 : 1;
    if (end >= source_.size()) return ErrorAtLine(line_, "a string is not closed");
    absl::StatusOr<std::string> text =
        UnescapeStringLiteral(std::string_view(source_).substr(pos_ + 1, end - pos_ - 1));
    if (!text.ok()) return ErrorAtLine(line_, std::string(text.status().message()));
    Add(TokenType::kString, *std::move(text));
    Advance(end + 1);
    return absl::OkStatus();
  }

  const std::string source_;
  size_t pos_ = 0;
  int line_ = 1;
  bool line_starting_ = true;  // the last match ended a line
  std::vector<Token> tokens_;
};

}  // namespace

std::string Token::Describe() const {
  switch (type) {
    case TokenType::kData:
      return "text";
    case TokenType::kBlockBegin:
      return "{%";
    case TokenType::kBlockEnd:
      return "%}";
    case TokenType::kVariableBegin:
      return "{{";
    case TokenType::kVariableEnd:
      return "}}";
    case TokenType::kString:
      return "a string";
    case TokenType::kEnd:
      return "the end of the template";
    default:
      return "'" + text + "'";
  }
}

absl::Status ErrorAtLine(int line, std::string_view message) {
  return absl::InvalidArgumentError(
      absl::StrCat("line ", line, ": ", absl::string_view(message.data(), message.size())));
}

absl::StatusOr<std::vector<Token>> Tokenize(std::string_view source) {
  const size_t invalid = FindInvalidUtf8(source);
  if (invalid != std::string_view::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat("the template is not UTF-8: invalid byte at offset ", invalid));
  }
  return Lexer(NormalizeNewlines(source)).Run();
}

}  // namespace sluice::gateway::jinja
