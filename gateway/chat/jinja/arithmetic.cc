// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"
#include "gateway/chat/jinja/format.h"
#include "gateway/chat/jinja/operators.h"
#include "gateway/chat/jinja/python_repr.h"
#include "proto/wire/status_macros.h"

namespace sluice::gateway::jinja {
namespace {

absl::Status Overflow() {
  return absl::InvalidArgumentError(
      "an integer leaves the 64 bits that templates can compute with");
}

absl::Status Unsupported(const std::string& symbol, const Value& a, const Value& b) {
  if (a.is_undefined()) return absl::InvalidArgumentError(a.UndefinedMessage());
  if (b.is_undefined()) return absl::InvalidArgumentError(b.UndefinedMessage());
  if (symbol == "-" && (IsSetLike(a) || IsSetLike(b))) {
    return absl::InvalidArgumentError(absl::StrCat(
        TypeName(a), " - ", TypeName(b), " would be a set, and templates here have no sets"));
  }
  return absl::InvalidArgumentError(absl::StrCat("unsupported operand types for ", symbol, ": ",
                                                 TypeName(a), " and ", TypeName(b)));
}

absl::Status DivisionByZero() { return absl::InvalidArgumentError("division by zero"); }

absl::StatusOr<Value> IntPower(int64_t base, int64_t exponent) {
  if (exponent < 0) {
    if (base == 0) return DivisionByZero();
    return Value::Float(std::pow(static_cast<double>(base), static_cast<double>(exponent)));
  }
  int64_t result = 1;
  while (exponent > 0) {
    if ((exponent & 1) != 0 && __builtin_mul_overflow(result, base, &result)) return Overflow();
    exponent >>= 1;
    if (exponent > 0 && __builtin_mul_overflow(base, base, &base)) return Overflow();
  }
  return Value::Int(result);
}

absl::StatusOr<Value> IntBinary(BinaryOp op, int64_t a, int64_t b) {
  int64_t result = 0;
  switch (op) {
    case BinaryOp::kAdd:
      if (__builtin_add_overflow(a, b, &result)) return Overflow();
      return Value::Int(result);
    case BinaryOp::kSub:
      if (__builtin_sub_overflow(a, b, &result)) return Overflow();
      return Value::Int(result);
    case BinaryOp::kMul:
      if (__builtin_mul_overflow(a, b, &result)) return Overflow();
      return Value::Int(result);
    case BinaryOp::kPow:
      return IntPower(a, b);
    default:
      break;
  }
  if (b == 0) return DivisionByZero();
  if (op == BinaryOp::kDiv) {
    return Value::Float(static_cast<double>(static_cast<long double>(a) / b));
  }
  if (a == std::numeric_limits<int64_t>::min() && b == -1) {
    if (op == BinaryOp::kMod) return Value::Int(0);
    return Overflow();
  }
  // Python rounds the quotient down and gives the remainder the divisor's sign.
  const int64_t remainder = a % b;
  const bool adjust = remainder != 0 && (remainder < 0) != (b < 0);
  if (op == BinaryOp::kMod) return Value::Int(adjust ? remainder + b : remainder);
  return Value::Int(a / b - (adjust ? 1 : 0));
}

// Python's float divmod: the remainder takes the divisor's sign and the quotient is a whole number.
void FloatDivMod(double a, double b, double* quotient, double* remainder) {
  double mod = std::fmod(a, b);
  double div = (a - mod) / b;
  if (mod != 0) {
    if ((b < 0) != (mod < 0)) {
      mod += b;
      div -= 1.0;
    }
  } else {
    mod = std::copysign(0.0, b);
  }
  if (div != 0) {
    double whole = std::floor(div);
    if (div - whole > 0.5) whole += 1.0;
    *quotient = whole;
  } else {
    *quotient = std::copysign(0.0, a / b);
  }
  *remainder = mod;
}

absl::StatusOr<Value> FloatBinary(BinaryOp op, double a, double b) {
  switch (op) {
    case BinaryOp::kAdd:
      return Value::Float(a + b);
    case BinaryOp::kSub:
      return Value::Float(a - b);
    case BinaryOp::kMul:
      return Value::Float(a * b);
    case BinaryOp::kPow: {
      if (a == 0 && b < 0) return DivisionByZero();
      if (a < 0 && std::isfinite(a) && std::isfinite(b) && b != std::floor(b)) {
        return absl::InvalidArgumentError("a power that is a complex number");
      }
      const double result = std::pow(a, b);
      if (std::isinf(result) && std::isfinite(a) && std::isfinite(b)) {
        return absl::InvalidArgumentError("a power that is too large for a float");
      }
      return Value::Float(result);
    }
    default:
      break;
  }
  if (b == 0) return DivisionByZero();
  if (op == BinaryOp::kDiv) return Value::Float(a / b);
  double quotient = 0;
  double remainder = 0;
  FloatDivMod(a, b, &quotient, &remainder);
  return Value::Float(op == BinaryOp::kMod ? remainder : quotient);
}

// Markup escapes what is joined to it; so does a string that markup is joined to.
absl::StatusOr<Value> Concatenate(const Value& a, const Value& b, Budget* budget) {
  const bool markup = a.str().markup || b.str().markup;
  const Value left = markup ? EscapeHtml(a) : a;
  const Value right = markup ? EscapeHtml(b) : b;
  SLUICE_RETURN_IF_ERROR(budget->Allocate(left.str().text.size() + right.str().text.size()));
  Text text;
  text.Reserve(left.str().text.size() + right.str().text.size());
  text.Append(left.str().text);
  text.Append(right.str().text);
  return Value::String(std::move(text), markup);
}

absl::StatusOr<Value> Repeat(const Value& sequence, int64_t count, Budget* budget) {
  const auto times = static_cast<uint64_t>(std::max<int64_t>(count, 0));
  const bool is_string = sequence.is_string();
  const uint64_t unit =
      is_string ? sequence.str().text.size() : sequence.list().items.size() * sizeof(Value);
  const uint64_t room = budget->limits().max_allocated_bytes;
  SLUICE_RETURN_IF_ERROR(
      budget->Allocate(unit == 0 || times <= room / unit ? unit * times : room + 1));
  if (is_string) {
    Text text;
    if (unit > 0) {
      for (uint64_t i = 0; i < times; ++i) text.Append(sequence.str().text);
    }
    return Value::String(std::move(text), sequence.str().markup);
  }
  std::vector<Value> items;
  const std::vector<Value>& source = sequence.list().items;
  if (unit > 0) {
    items.reserve(source.size() * times);
    for (uint64_t i = 0; i < times; ++i) items.insert(items.end(), source.begin(), source.end());
  }
  return MakeList(sequence.list().type, std::move(items));
}

bool IsPlainSequence(const Value& value) {
  return value.is_string() || (value.is(Kind::kList) && value.list().type <= List::Type::kTuple);
}

absl::StatusOr<Value> SequenceBinary(BinaryOp op, const Value& a, const Value& b, Budget* budget) {
  if (op == BinaryOp::kAdd) {
    if (a.is_string() && b.is_string()) return Concatenate(a, b, budget);
    if (IsPlainSequence(a) && IsPlainSequence(b) && a.is(Kind::kList) && b.is(Kind::kList) &&
        a.list().type == b.list().type) {
      std::vector<Value> items = a.list().items;
      SLUICE_RETURN_IF_ERROR(
          budget->Allocate((items.size() + b.list().items.size()) * sizeof(Value)));
      items.insert(items.end(), b.list().items.begin(), b.list().items.end());
      return MakeList(a.list().type, std::move(items));
    }
  }
  if (op == BinaryOp::kMul) {
    if (IsPlainSequence(a) && AsIndex(b)) return Repeat(a, *AsIndex(b), budget);
    if (IsPlainSequence(b) && AsIndex(a)) return Repeat(b, *AsIndex(a), budget);
  }
  return Unsupported(Symbol(op), a, b);
}

}  // namespace

const char* Symbol(BinaryOp op) {
  constexpr const char* kSymbols[] = {"+", "-", "*", "/", "//", "%", "**"};
  return kSymbols[static_cast<size_t>(op)];
}

std::optional<int64_t> AsIndex(const Value& value) {
  if (value.is(Kind::kInt)) return value.int_value();
  if (value.is(Kind::kBool)) return value.bool_value() ? 1 : 0;
  return std::nullopt;
}

std::optional<double> AsDouble(const Value& value) {
  if (value.is(Kind::kFloat)) return value.float_value();
  if (const std::optional<int64_t> index = AsIndex(value)) return static_cast<double>(*index);
  return std::nullopt;
}

absl::StatusOr<Value> Binary(BinaryOp op, const Value& a, const Value& b, Budget* budget) {
  if (a.is_undefined() || b.is_undefined()) {
    // A string formats whatever follows %, undefined values included.
    if (op == BinaryOp::kMod && a.is_string()) return PercentFormat(a, b, budget);
    return Unsupported(Symbol(op), a, b);
  }
  const std::optional<int64_t> x = AsIndex(a);
  const std::optional<int64_t> y = AsIndex(b);
  if (x && y) return IntBinary(op, *x, *y);
  if (a.is(Kind::kBigInt) || b.is(Kind::kBigInt)) {
    if ((a.is(Kind::kBigInt) || AsDouble(a)) && (b.is(Kind::kBigInt) || AsDouble(b))) {
      return Overflow();
    }
  }
  const std::optional<double> p = AsDouble(a);
  const std::optional<double> q = AsDouble(b);
  if (p && q) return FloatBinary(op, *p, *q);
  if (op == BinaryOp::kMod && a.is_string()) return PercentFormat(a, b, budget);
  return SequenceBinary(op, a, b, budget);
}

absl::StatusOr<Value> Negate(const Value& value) {
  if (const std::optional<int64_t> index = AsIndex(value)) {
    if (*index == std::numeric_limits<int64_t>::min()) return Overflow();
    return Value::Int(-*index);
  }
  if (value.is(Kind::kFloat)) return Value::Float(-value.float_value());
  if (value.is(Kind::kBigInt)) return Overflow();
  if (value.is_undefined()) return absl::InvalidArgumentError(value.UndefinedMessage());
  return absl::InvalidArgumentError(
      absl::StrCat("bad operand type for unary -: ", TypeName(value)));
}

absl::StatusOr<Value> Positive(const Value& value) {
  if (const std::optional<int64_t> index = AsIndex(value)) return Value::Int(*index);
  if (value.is(Kind::kFloat) || value.is(Kind::kBigInt)) return value;
  if (value.is_undefined()) return absl::InvalidArgumentError(value.UndefinedMessage());
  return absl::InvalidArgumentError(
      absl::StrCat("bad operand type for unary +: ", TypeName(value)));
}

}  // namespace sluice::gateway::jinja
