// SPDX-License-Identifier: Apache-2.0
#include "gateway/chat/jinja/tests.h"

#include <algorithm>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "gateway/chat/jinja/filters.h"
#include "gateway/chat/jinja/methods.h"
#include "gateway/chat/jinja/operators.h"
#include "gateway/chat/jinja/python_repr.h"
#include "proto/wire/status_macros.h"

namespace sluice::gateway::jinja {
namespace {

using Args = const CallArgs&;

absl::Status NoArguments(Args args) { return BindArguments("test", args, {}, 0).status(); }

// A test that only looks at the value.
template <bool (*Predicate)(const Value&)>
absl::StatusOr<bool> Simple(Runtime*, const Value& input, Args args) {
  SLUICE_RETURN_IF_ERROR(NoArguments(args));
  return Predicate(input);
}

bool IsDefined(const Value& value) { return !value.is_undefined(); }
bool IsUndefined(const Value& value) { return value.is_undefined(); }
bool IsNone(const Value& value) { return value.is_none(); }
bool IsBoolean(const Value& value) { return value.is(Kind::kBool); }
bool IsFalse(const Value& value) { return value.is(Kind::kBool) && !value.bool_value(); }
bool IsTrue(const Value& value) { return value.is(Kind::kBool) && value.bool_value(); }
bool IsInteger(const Value& value) { return value.is(Kind::kInt) || value.is(Kind::kBigInt); }
bool IsFloat(const Value& value) { return value.is(Kind::kFloat); }
bool IsNumber(const Value& value) { return IsInteger(value) || IsFloat(value) || IsBoolean(value); }
bool IsString(const Value& value) { return value.is_string(); }
bool IsMapping(const Value& value) { return value.is(Kind::kDict); }
bool IsEscaped(const Value& value) { return value.is_string() && value.str().markup; }

bool IsSequence(const Value& value) {
  return value.is_string() || value.is(Kind::kDict) || value.is_undefined() ||
         (value.is(Kind::kList) && value.list().type <= List::Type::kRange);
}

bool IsCallable(const Value& value) {
  if (value.is_undefined()) return true;  // Undefined has __call__, which raises
  if (!value.is(Kind::kObject)) return false;
  switch (value.object()->type()) {
    case ObjectType::kMacro:
    case ObjectType::kJoiner:
    case ObjectType::kFunction:
    case ObjectType::kBoundMethod:
    case ObjectType::kLoop:
      return true;
    default:
      return false;
  }
}

template <CompareOp Op>
absl::StatusOr<bool> Comparison(Runtime* runtime, const Value& input, Args args) {
  SLUICE_ASSIGN_OR_RETURN(const std::vector<Value> bound,
                          BindArguments("test", args, {nullptr}, 1));
  return Compare(Op, input, bound[0], &runtime->budget);
}

absl::StatusOr<bool> In(Runtime* runtime, const Value& input, Args args) {
  SLUICE_ASSIGN_OR_RETURN(const std::vector<Value> bound, BindArguments("in", args, {"seq"}, 1));
  return Contains(bound[0], input, &runtime->budget);
}

absl::StatusOr<Value> Remainder(Runtime* runtime, const Value& input, const Value& divisor) {
  return Binary(BinaryOp::kMod, input, divisor, &runtime->budget);
}

template <int64_t Parity>
absl::StatusOr<bool> HasParity(Runtime* runtime, const Value& input, Args args) {
  SLUICE_RETURN_IF_ERROR(NoArguments(args));
  SLUICE_ASSIGN_OR_RETURN(const Value remainder, Remainder(runtime, input, Value::Int(2)));
  return Equals(remainder, Value::Int(Parity));
}

absl::StatusOr<bool> DivisibleBy(Runtime* runtime, const Value& input, Args args) {
  SLUICE_ASSIGN_OR_RETURN(const std::vector<Value> bound,
                          BindArguments("divisibleby", args, {"num"}, 1));
  SLUICE_ASSIGN_OR_RETURN(const Value remainder, Remainder(runtime, input, bound[0]));
  return Equals(remainder, Value::Int(0));
}

template <const char* Method>
absl::StatusOr<bool> HasCase(Runtime* runtime, const Value& input, Args args) {
  SLUICE_RETURN_IF_ERROR(NoArguments(args));
  SLUICE_ASSIGN_OR_RETURN(Text text, ToText(input));
  SLUICE_ASSIGN_OR_RETURN(const Value result,
                          CallStringMethod(runtime, Value::String(std::move(text)), Method, {}));
  return Truthy(result);
}

constexpr char kIsLower[] = "islower";
constexpr char kIsUpper[] = "isupper";

absl::StatusOr<bool> SameAs(Runtime*, const Value& input, Args args) {
  SLUICE_ASSIGN_OR_RETURN(const std::vector<Value> bound,
                          BindArguments("sameas", args, {"other"}, 1));
  const Value& other = bound[0];
  if (input.kind() != other.kind()) return false;
  switch (input.kind()) {
    case Kind::kString:
    case Kind::kList:
    case Kind::kDict:
    case Kind::kBigInt:
    case Kind::kUndefined:
      return input.counted() == other.counted();
    case Kind::kFloat:
      return absl::InvalidArgumentError("sameas: the identity of floats means nothing");
    default:
      return Equals(input, other);
  }
}

absl::StatusOr<bool> IsFilterName(Runtime*, const Value& input, Args args) {
  SLUICE_RETURN_IF_ERROR(NoArguments(args));
  return input.is_string() && FindFilter(input.str().view()) != nullptr;
}

absl::StatusOr<bool> IsTestName(Runtime*, const Value& input, Args args) {
  SLUICE_RETURN_IF_ERROR(NoArguments(args));
  return input.is_string() && FindTest(input.str().view()) != nullptr;
}

constexpr TestSpec kTests[] = {
    {"!=", Comparison<CompareOp::kNe>},
    {"<", Comparison<CompareOp::kLt>},
    {"<=", Comparison<CompareOp::kLe>},
    {"==", Comparison<CompareOp::kEq>},
    {">", Comparison<CompareOp::kGt>},
    {">=", Comparison<CompareOp::kGe>},
    {"boolean", Simple<IsBoolean>},
    {"callable", Simple<IsCallable>},
    {"defined", Simple<IsDefined>},
    {"divisibleby", DivisibleBy},
    {"eq", Comparison<CompareOp::kEq>},
    {"equalto", Comparison<CompareOp::kEq>},
    {"escaped", Simple<IsEscaped>},
    {"even", HasParity<0>},
    {"false", Simple<IsFalse>},
    {"filter", IsFilterName},
    {"float", Simple<IsFloat>},
    {"ge", Comparison<CompareOp::kGe>},
    {"greaterthan", Comparison<CompareOp::kGt>},
    {"gt", Comparison<CompareOp::kGt>},
    {"in", In},
    {"integer", Simple<IsInteger>},
    {"iterable", Simple<IsIterable>},
    {"le", Comparison<CompareOp::kLe>},
    {"lessthan", Comparison<CompareOp::kLt>},
    {"lower", HasCase<kIsLower>},
    {"lt", Comparison<CompareOp::kLt>},
    {"mapping", Simple<IsMapping>},
    {"ne", Comparison<CompareOp::kNe>},
    {"none", Simple<IsNone>},
    {"number", Simple<IsNumber>},
    {"odd", HasParity<1>},
    {"sameas", SameAs},
    {"sequence", Simple<IsSequence>},
    {"string", Simple<IsString>},
    {"test", IsTestName},
    {"true", Simple<IsTrue>},
    {"undefined", Simple<IsUndefined>},
    {"upper", HasCase<kIsUpper>},
};

}  // namespace

const TestSpec* FindTest(std::string_view name) {
  const auto* it = std::find_if(std::begin(kTests), std::end(kTests),
                                [&](const TestSpec& spec) { return spec.name == name; });
  return it == std::end(kTests) ? nullptr : it;
}

}  // namespace sluice::gateway::jinja
