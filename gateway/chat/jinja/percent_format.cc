// SPDX-License-Identifier: Apache-2.0
// The % operator on strings.
#include <cmath>
#include <string>

#include "absl/strings/str_cat.h"
#include "gateway/chat/jinja/format.h"
#include "gateway/chat/jinja/numbers.h"
#include "gateway/chat/jinja/operators.h"
#include "gateway/chat/jinja/python_repr.h"
#include "gateway/chat/jinja/unicode.h"
#include "proto/wire/status_macros.h"

namespace sluice::gateway::jinja {
namespace {

constexpr int64_t kMaxWidth = 1 << 20;

bool IsDigitChar(char c) { return c >= '0' && c <= '9'; }

class PercentFormatter {
 public:
  PercentFormatter(const Value& format, const Value& args, Budget* budget)
      : format_(format), view_(format.str().view()), args_(args), budget_(budget) {
    is_tuple_ = args.is(Kind::kList) && args.list().type == List::Type::kTuple;
    // Whatever can be subscripted counts as a mapping: then unused arguments are no error.
    is_mapping_ =
        args.is(Kind::kDict) || args.is_undefined() || (args.is(Kind::kList) && !is_tuple_);
  }

  absl::StatusOr<Value> Run() {
    const Text& format = format_.str().text;
    while (pos_ < view_.size()) {
      const size_t percent = view_.find('%', pos_);
      if (percent == std::string_view::npos) {
        out_.Append(format, pos_, view_.size());
        break;
      }
      out_.Append(format, pos_, percent);
      pos_ = percent + 1;
      SLUICE_RETURN_IF_ERROR(Conversion());
      SLUICE_RETURN_IF_ERROR(budget_->CheckOutput(out_.size()));
    }
    const size_t given = is_tuple_ ? args_.list().items.size() : 1;
    if (next_ < given && !is_mapping_) {
      return absl::InvalidArgumentError("%: not all arguments were converted");
    }
    return Value::String(std::move(out_), format_.str().markup);
  }

 private:
  absl::StatusOr<Value> NextArgument() {
    if (key_) return *key_;
    const size_t given = is_tuple_ ? args_.list().items.size() : 1;
    if (next_ >= given) return absl::InvalidArgumentError("%: not enough arguments");
    const size_t index = next_++;
    return is_tuple_ ? args_.list().items[index] : args_;
  }

  absl::Status Key() {
    size_t level = 1;
    const size_t begin = ++pos_;
    while (pos_ < view_.size() && level > 0) {
      if (view_[pos_] == '(') ++level;
      if (view_[pos_] == ')') --level;
      ++pos_;
    }
    if (level > 0) return absl::InvalidArgumentError("%: a key is not closed");
    const std::string_view name = view_.substr(begin, pos_ - 1 - begin);
    if (!args_.is(Kind::kDict)) return absl::InvalidArgumentError("%: a named format needs a dict");
    const Value* value = args_.dict().Find(name);
    if (value == nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat("%: no value named '", std::string(name), "'"));
    }
    key_ = *value;
    return absl::OkStatus();
  }

  absl::StatusOr<int64_t> Number() {
    if (pos_ < view_.size() && view_[pos_] == '*') {
      ++pos_;
      SLUICE_ASSIGN_OR_RETURN(const Value value, NextArgument());
      const std::optional<int64_t> index = AsIndex(value);
      if (!index || std::abs(*index) > kMaxWidth) {
        return absl::InvalidArgumentError("%: * needs an int of at most 1048576");
      }
      return *index;
    }
    int64_t value = 0;
    while (pos_ < view_.size() && IsDigitChar(view_[pos_])) {
      value = value * 10 + (view_[pos_++] - '0');
      if (value > kMaxWidth) return absl::InvalidArgumentError("%: a width above 1048576");
    }
    return value;
  }

  absl::Status Conversion() {
    FormatSpec spec;
    bool left = false;
    key_.reset();
    if (pos_ < view_.size() && view_[pos_] == '(') SLUICE_RETURN_IF_ERROR(Key());
    for (; pos_ < view_.size(); ++pos_) {
      const char flag = view_[pos_];
      if (flag == '-') {
        left = true;
      } else if (flag == '+') {
        spec.sign = '+';
      } else if (flag == ' ') {
        if (spec.sign != '+') spec.sign = ' ';
      } else if (flag == '0') {
        spec.zero = true;
      } else if (flag == '#') {
        spec.alternate = true;
      } else {
        break;
      }
    }
    SLUICE_ASSIGN_OR_RETURN(spec.width, Number());
    if (spec.width < 0) {
      left = true;
      spec.width = -spec.width;
    }
    if (pos_ < view_.size() && view_[pos_] == '.') {
      ++pos_;
      SLUICE_ASSIGN_OR_RETURN(spec.precision, Number());
      spec.precision = std::max<int64_t>(spec.precision, 0);
    }
    while (pos_ < view_.size() &&
           std::string_view("hlL").find(view_[pos_]) != std::string_view::npos) {
      ++pos_;
    }
    if (pos_ == view_.size()) return absl::InvalidArgumentError("%: incomplete format");
    spec.type = view_[pos_++];
    if (left) {
      spec.align = '<';
    } else if (!spec.zero) {
      spec.align = '>';
    }
    return Convert(spec);
  }

  absl::Status Convert(FormatSpec spec) {
    if (spec.type == '%') {
      out_.Append(format_.str().text, pos_ - 1, pos_);
      return absl::OkStatus();
    }
    SLUICE_ASSIGN_OR_RETURN(const Value value, NextArgument());
    if (spec.type == 's' || spec.type == 'r' || spec.type == 'c') return ConvertText(value, spec);
    if (spec.type == 'i' || spec.type == 'u') spec.type = 'd';
    if (std::string_view("doxXeEfFgG").find(spec.type) == std::string_view::npos) {
      return absl::InvalidArgumentError(
          absl::StrCat("%: unsupported format character '", std::string(1, spec.type), "'"));
    }
    return ConvertNumber(value, spec);
  }

  absl::Status ConvertText(const Value& value, FormatSpec spec) {
    Text text;
    if (spec.type == 's') {
      SLUICE_RETURN_IF_ERROR(AppendText(value, &text));
    } else if (spec.type == 'r') {
      SLUICE_RETURN_IF_ERROR(AppendRepr(value, &text));
    } else if (value.is_string() && value.str().length == 1) {
      text = value.str().text;
    } else if (value.is(Kind::kInt) && value.int_value() >= 0 && value.int_value() < 0xd800) {
      std::string bytes;
      AppendUtf8(static_cast<char32_t>(value.int_value()), &bytes);
      text.Append(bytes, Origin::kUser);
    } else {
      return absl::InvalidArgumentError("%: %c needs a character");
    }
    if (format_.str().markup && !(value.is_string() && value.str().markup)) {
      text = EscapeHtml(Value::String(std::move(text))).str().text;
    }
    if (spec.precision >= 0 && spec.type != 'c') {
      text = text.Slice(0, ByteOffset(text.view(), static_cast<size_t>(spec.precision)));
    }
    if (spec.align == '\0') spec.align = '>';  // the flag 0 does nothing to text
    spec.zero = false;
    SLUICE_ASSIGN_OR_RETURN(const Text padded, PadTo(text, spec, false, budget_));
    out_.Append(padded);
    return absl::OkStatus();
  }

  absl::Status ConvertNumber(const Value& value, const FormatSpec& spec) {
    const bool is_int = value.is(Kind::kInt) || value.is(Kind::kBool) || value.is(Kind::kBigInt);
    Value number = value;
    if (!is_int && !value.is(Kind::kFloat)) {
      if (value.is_undefined()) return absl::InvalidArgumentError(value.UndefinedMessage());
      return absl::InvalidArgumentError(
          absl::StrCat("%: a number is required, not ", TypeName(value)));
    }
    const bool wants_int = std::string_view("doxX").find(spec.type) != std::string_view::npos;
    if (wants_int && value.is(Kind::kFloat)) {
      if (spec.type != 'd' || !std::isfinite(value.float_value())) {
        return absl::InvalidArgumentError("%: an integer is required, not a float");
      }
      number = IntegerPart(value.float_value());
    }
    SLUICE_ASSIGN_OR_RETURN(std::string text, FormatNumber(number, spec));
    if (wants_int && spec.precision >= 0) {
      const size_t sign = text[0] == '-' || text[0] == '+' || text[0] == ' ' ? 1 : 0;
      const auto digits = static_cast<int64_t>(text.size() - sign);
      if (digits < spec.precision) {
        SLUICE_RETURN_IF_ERROR(budget_->Allocate(static_cast<uint64_t>(spec.precision)));
        text.insert(sign, static_cast<size_t>(spec.precision - digits), '0');
      }
    }
    SLUICE_ASSIGN_OR_RETURN(const Text padded,
                            PadTo(Text(std::move(text), Origin::kUser), spec, true, budget_));
    out_.Append(padded);
    return absl::OkStatus();
  }

  const Value& format_;
  const std::string_view view_;
  const Value& args_;
  Budget* budget_;
  bool is_tuple_ = false;
  bool is_mapping_ = false;
  size_t pos_ = 0;
  size_t next_ = 0;
  std::optional<Value> key_;
  Text out_;
};

}  // namespace

absl::StatusOr<Value> PercentFormat(const Value& format, const Value& args, Budget* budget) {
  return PercentFormatter(format, args, budget).Run();
}

}  // namespace sluice::gateway::jinja
