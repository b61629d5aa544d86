// SPDX-License-Identifier: Apache-2.0
// The interpreter's expressions and calls.
#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gateway/chat/jinja/attributes.h"
#include "gateway/chat/jinja/filters.h"
#include "gateway/chat/jinja/functions.h"
#include "gateway/chat/jinja/interpreter.h"
#include "gateway/chat/jinja/loop_object.h"
#include "gateway/chat/jinja/methods.h"
#include "gateway/chat/jinja/operators.h"
#include "gateway/chat/jinja/python_repr.h"
#include "gateway/chat/jinja/tests.h"
#include "proto/wire/status_macros.h"

namespace sluice::gateway::jinja {

Value Interpreter::Read(const Expr& name) {
  const Value& value = Slot(name.slot);
  return value.is_missing() ? Value::UndefinedName(&name.value.str()) : value;
}

absl::StatusOr<Value> Interpreter::Eval(const Expr& expr) {
  if (expr.type == ExprType::kConst) return expr.value;
  if (expr.type == ExprType::kName) return Read(expr);
  const DepthGuard guard(&runtime_.budget);
  SLUICE_RETURN_IF_ERROR(guard.status());
  SLUICE_RETURN_IF_ERROR(runtime_.budget.Step());
  line_ = expr.line;
  switch (expr.type) {
    case ExprType::kList:
    case ExprType::kTuple:
      return EvalSequence(expr);
    case ExprType::kDict:
      return EvalDict(expr);
    case ExprType::kGetAttr:
      return EvalGetAttr(expr);
    case ExprType::kGetItem:
      return EvalGetItem(expr);
    case ExprType::kSlice:
      return EvalSlice(expr);
    case ExprType::kCall:
      return EvalCall(expr, nullptr);
    case ExprType::kFilter:
      return EvalFilter(expr, nullptr);
    case ExprType::kTest:
      return EvalTest(expr);
    case ExprType::kCondition:
      return EvalCondition(expr);
    case ExprType::kAnd:
    case ExprType::kOr:
      return EvalLogic(expr);
    case ExprType::kNot:
    case ExprType::kNegate:
    case ExprType::kPositive:
      return EvalUnary(expr);
    case ExprType::kBinary:
      return EvalBinary(expr);
    case ExprType::kCompare:
      return EvalCompare(expr);
    case ExprType::kConcat:
      return EvalConcat(expr);
    case ExprType::kConst:
    case ExprType::kName:
    case ExprType::kNamespaceRef:
      break;
  }
  return absl::InternalError("an expression of no known type");
}

absl::StatusOr<Value> Interpreter::EvalSequence(const Expr& expr) {
  std::vector<Value> items;
  items.reserve(expr.kids.size());
  for (const ExprPtr& kid : expr.kids) {
    SLUICE_ASSIGN_OR_RETURN(Value item, Eval(*kid));
    items.push_back(std::move(item));
  }
  const auto type = expr.type == ExprType::kList ? List::Type::kList : List::Type::kTuple;
  return NewList(&runtime_, type, std::move(items));
}

absl::StatusOr<Value> Interpreter::EvalDict(const Expr& expr) {
  std::vector<Dict::Entry> entries;
  for (size_t i = 0; i < expr.kids.size(); i += 2) {
    SLUICE_ASSIGN_OR_RETURN(Value key, Eval(*expr.kids[i]));
    SLUICE_ASSIGN_OR_RETURN(Value value, Eval(*expr.kids[i + 1]));
    entries.emplace_back(std::move(key), std::move(value));
  }
  return NewDict(&runtime_, std::move(entries));
}

absl::StatusOr<Value> Interpreter::EvalGetAttr(const Expr& expr) {
  SLUICE_ASSIGN_OR_RETURN(const Value object, Eval(*expr.kids[0]));
  return GetAttribute(&runtime_, object, expr.value);
}

absl::StatusOr<Value> Interpreter::EvalGetItem(const Expr& expr) {
  SLUICE_ASSIGN_OR_RETURN(const Value object, Eval(*expr.kids[0]));
  SLUICE_ASSIGN_OR_RETURN(const Value key, Eval(*expr.kids[1]));
  return GetItem(&runtime_, object, key);
}

absl::StatusOr<Value> Interpreter::EvalSlice(const Expr& expr) {
  SLUICE_ASSIGN_OR_RETURN(const Value object, Eval(*expr.kids[0]));
  Value bounds[3] = {Value::None(), Value::None(), Value::None()};
  for (size_t i = 0; i < 3; ++i) {
    if (expr.kids[i + 1] == nullptr) continue;
    SLUICE_ASSIGN_OR_RETURN(bounds[i], Eval(*expr.kids[i + 1]));
  }
  return Slice(object, bounds[0], bounds[1], bounds[2], &runtime_.budget);
}

absl::StatusOr<Value> Interpreter::EvalCondition(const Expr& expr) {
  SLUICE_ASSIGN_OR_RETURN(const Value test, Eval(*expr.kids[1]));
  if (Truthy(test)) return Eval(*expr.kids[0]);
  if (expr.kids[2] != nullptr) return Eval(*expr.kids[2]);
  return Value::UndefinedHint(absl::StrCat("the inline if-expression on line ", expr.line,
                                           " evaluated to false and no else section was defined."));
}

absl::StatusOr<Value> Interpreter::EvalLogic(const Expr& expr) {
  const bool is_and = expr.type == ExprType::kAnd;
  Value value;
  for (const ExprPtr& kid : expr.kids) {
    SLUICE_ASSIGN_OR_RETURN(value, Eval(*kid));
    if (Truthy(value) != is_and) break;
  }
  return value;
}

absl::StatusOr<Value> Interpreter::EvalUnary(const Expr& expr) {
  SLUICE_ASSIGN_OR_RETURN(const Value operand, Eval(*expr.kids[0]));
  if (expr.type == ExprType::kNot) return Value::Bool(!Truthy(operand));
  return expr.type == ExprType::kNegate ? Negate(operand) : Positive(operand);
}

absl::StatusOr<Value> Interpreter::EvalBinary(const Expr& expr) {
  SLUICE_ASSIGN_OR_RETURN(const Value left, Eval(*expr.kids[0]));
  SLUICE_ASSIGN_OR_RETURN(const Value right, Eval(*expr.kids[1]));
  return Binary(expr.binary, left, right, &runtime_.budget);
}

absl::StatusOr<Value> Interpreter::EvalCompare(const Expr& expr) {
  SLUICE_ASSIGN_OR_RETURN(Value left, Eval(*expr.kids[0]));
  for (size_t i = 0; i < expr.comparisons.size(); ++i) {
    SLUICE_ASSIGN_OR_RETURN(Value right, Eval(*expr.kids[i + 1]));
    SLUICE_ASSIGN_OR_RETURN(const bool holds,
                            Compare(expr.comparisons[i], left, right, &runtime_.budget));
    if (!holds) return Value::Bool(false);
    left = std::move(right);
  }
  return Value::Bool(true);
}

absl::StatusOr<Value> Interpreter::EvalConcat(const Expr& expr) {
  Text text;
  for (const ExprPtr& kid : expr.kids) {
    SLUICE_ASSIGN_OR_RETURN(const Value value, Eval(*kid));
    SLUICE_RETURN_IF_ERROR(AppendText(value, &text));
  }
  SLUICE_RETURN_IF_ERROR(runtime_.budget.Allocate(text.size()));
  return Value::String(std::move(text));
}

absl::StatusOr<Value> Interpreter::EvalFilter(const Expr& expr, const Value* block_input) {
  Value input;
  if (expr.kids[0] == nullptr) {
    input = *block_input;
  } else if (block_input != nullptr) {
    SLUICE_ASSIGN_OR_RETURN(input, EvalFilter(*expr.kids[0], block_input));
  } else {
    SLUICE_ASSIGN_OR_RETURN(input, Eval(*expr.kids[0]));
  }
  SLUICE_ASSIGN_OR_RETURN(const CallArgs args, EvalArguments(expr.call));
  line_ = expr.line;
  return expr.filter->call(&runtime_, input, args);
}

absl::StatusOr<Value> Interpreter::EvalTest(const Expr& expr) {
  SLUICE_ASSIGN_OR_RETURN(const Value input, Eval(*expr.kids[0]));
  SLUICE_ASSIGN_OR_RETURN(const CallArgs args, EvalArguments(expr.call));
  SLUICE_ASSIGN_OR_RETURN(const bool passes, expr.test->call(&runtime_, input, args));
  return Value::Bool(passes);
}

absl::StatusOr<CallArgs> Interpreter::EvalArguments(const CallSyntax& call) {
  CallArgs args;
  args.positional.reserve(call.positional.size());
  for (const ExprPtr& expr : call.positional) {
    SLUICE_ASSIGN_OR_RETURN(Value value, Eval(*expr));
    args.positional.push_back(std::move(value));
  }
  if (call.star != nullptr) {
    SLUICE_ASSIGN_OR_RETURN(const Value value, Eval(*call.star));
    SLUICE_ASSIGN_OR_RETURN(const std::vector<Value> items, Iterate(value, &runtime_.budget));
    args.positional.insert(args.positional.end(), items.begin(), items.end());
  }
  for (const auto& [name, expr] : call.keyword) {
    SLUICE_ASSIGN_OR_RETURN(Value value, Eval(*expr));
    args.keyword.emplace_back(name, std::move(value));
  }
  if (call.double_star == nullptr) return args;
  SLUICE_ASSIGN_OR_RETURN(const Value more, Eval(*call.double_star));
  if (!more.is(Kind::kDict)) {
    return absl::InvalidArgumentError(
        absl::StrCat("the argument after ** must be a mapping, not ", TypeName(more)));
  }
  for (const auto& [name, value] : more.dict().entries) {
    if (!name.is_string()) return absl::InvalidArgumentError("argument names must be strings");
    for (const auto& [other, unused] : args.keyword) {
      if (other.str().view() == name.str().view()) {
        return absl::InvalidArgumentError(
            absl::StrCat("two values for the argument '", name.str().text.bytes(), "'"));
      }
    }
    args.keyword.emplace_back(name, value);
  }
  return args;
}

absl::StatusOr<Value> Interpreter::EvalCall(const Expr& expr, const Value* caller) {
  const Expr& callee = *expr.kids[0];
  const MethodSpec* method = nullptr;
  Value object;
  if (callee.type == ExprType::kGetAttr) {
    // A method of a value is called without being made a value itself.
    SLUICE_ASSIGN_OR_RETURN(object, Eval(*callee.kids[0]));
    method = FindMethod(object, callee.value.str().view());
    if (method == nullptr || method->call == nullptr) {
      method = nullptr;
      line_ = expr.line;
      SLUICE_ASSIGN_OR_RETURN(object, GetAttribute(&runtime_, object, callee.value));
    }
  } else {
    SLUICE_ASSIGN_OR_RETURN(object, Eval(callee));
  }
  SLUICE_ASSIGN_OR_RETURN(CallArgs args, EvalArguments(expr.call));
  if (caller != nullptr) {
    args.keyword.emplace_back(Value::TemplateString("caller"), *caller);
  }
  line_ = expr.line;
  if (method != nullptr) return method->call(&runtime_, object, args);
  return Call(object, args);
}

absl::StatusOr<Value> Interpreter::Call(const Value& callee, const CallArgs& args) {
  if (callee.is_undefined()) return absl::InvalidArgumentError(callee.UndefinedMessage());
  if (callee.is(Kind::kObject)) {
    Object* object = callee.object();
    switch (object->type()) {
      case ObjectType::kMacro:
        return CallMacro(*static_cast<MacroObject*>(object), args);
      case ObjectType::kFunction:
        return static_cast<FunctionObject*>(object)->call(&runtime_, args);
      case ObjectType::kBoundMethod: {
        const auto* bound = static_cast<BoundMethodObject*>(object);
        return bound->method->call(&runtime_, bound->self, args);
      }
      case ObjectType::kJoiner: {
        auto* joiner = static_cast<JoinerObject*>(object);
        SLUICE_RETURN_IF_ERROR(BindArguments("joiner", args, {}, 0).status());
        return std::exchange(joiner->used, true) ? joiner->separator : Value::UserString("");
      }
      case ObjectType::kLoop: {
        SLUICE_ASSIGN_OR_RETURN(const std::vector<Value> bound,
                                BindArguments("loop", args, {"iterable"}, 1));
        return static_cast<LoopObject*>(object)->Recurse(bound[0]);
      }
      default:
        break;
    }
  }
  return absl::InvalidArgumentError(
      absl::StrCat("a value of type ", TypeName(callee), " is not callable"));
}

absl::StatusOr<Value> Interpreter::CallMacro(const MacroObject& macro, const CallArgs& args) {
  const MacroSyntax& syntax = *macro.syntax;
  SLUICE_RETURN_IF_ERROR(
      runtime_.budget.Allocate(sizeof(Activation) + syntax.function.num_slots * sizeof(Value)));
  auto activation = std::make_unique<Activation>(syntax.function.num_slots, macro.closure);
  Activation* const outer_frame = std::exchange(frame_, activation.get());
  EnterScope(syntax.loads);
  const absl::Status bound = BindMacro(syntax, args);
  absl::StatusOr<Text> text = bound.ok() ? Capture(syntax.body) : absl::StatusOr<Text>(bound);
  frame_ = outer_frame;
  if (syntax.function.outlives_call) kept_activations_.push_back(std::move(activation));
  SLUICE_RETURN_IF_ERROR(text.status());
  return Value::String(*std::move(text));
}

// As jinja2.runtime.Macro.__call__ hands arguments to the function of the body.
absl::Status Interpreter::BindMacro(const MacroSyntax& macro, const CallArgs& args) {
  std::vector<std::pair<Value, Value>> keyword = args.keyword;
  const size_t count = macro.parameters.size();
  for (size_t i = 0; i < count; ++i) {
    Value& slot = Slot(macro.parameters[i]);
    slot = Value();
    if (i < args.positional.size()) {
      slot = args.positional[i];
      continue;
    }
    const std::string_view name = macro.parameter_names[i].str().view();
    const auto given = std::find_if(keyword.begin(), keyword.end(), [&](const auto& argument) {
      return argument.first.str().view() == name;
    });
    if (given == keyword.end()) continue;
    slot = std::move(given->second);
    keyword.erase(given);
  }
  SLUICE_RETURN_IF_ERROR(BindExtraArguments(macro, args, std::move(keyword)));
  for (size_t i = 0; i < count; ++i) {
    if (!Slot(macro.parameters[i]).is_missing()) continue;
    const size_t first_default = count - macro.defaults.size();
    Value value;
    if (i < first_default) {
      value = Value::UndefinedHint(absl::StrCat(
          "parameter '", macro.parameter_names[i].str().text.bytes(), "' was not provided"));
    } else {
      SLUICE_ASSIGN_OR_RETURN(value, Eval(*macro.defaults[i - first_default]));
    }
    Slot(macro.parameters[i]) = std::move(value);
  }
  return absl::OkStatus();
}

absl::Status Interpreter::BindExtraArguments(const MacroSyntax& macro, const CallArgs& args,
                                             std::vector<std::pair<Value, Value>> keyword) {
  if (macro.takes_caller && !macro.names_caller) {
    Value caller = Value::UndefinedHint("No caller defined");
    const auto given = std::find_if(keyword.begin(), keyword.end(), [](const auto& argument) {
      return argument.first.str().view() == "caller";
    });
    if (given != keyword.end()) {
      if (!given->second.is_none()) caller = std::move(given->second);
      keyword.erase(given);
    }
    Slot(macro.caller) = std::move(caller);
  }
  if (macro.takes_kwargs) {
    SLUICE_ASSIGN_OR_RETURN(Slot(macro.kwargs), NewDict(&runtime_, std::move(keyword)));
  } else if (!keyword.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("macro '", macro.name,
                                                   "' takes no keyword argument '",
                                                   keyword[0].first.str().text.bytes(), "'"));
  }
  const size_t count = macro.parameters.size();
  if (macro.takes_varargs) {
    std::vector<Value> rest;
    if (args.positional.size() > count) {
      rest.assign(args.positional.begin() + static_cast<ptrdiff_t>(count), args.positional.end());
    }
    SLUICE_ASSIGN_OR_RETURN(Slot(macro.varargs),
                            NewList(&runtime_, List::Type::kTuple, std::move(rest)));
  } else if (args.positional.size() > count) {
    return absl::InvalidArgumentError(
        absl::StrCat("macro '", macro.name, "' takes not more than ", count, " argument(s)"));
  }
  return absl::OkStatus();
}

}  // namespace sluice::gateway::jinja
