// SPDX-License-Identifier: Apache-2.0
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gateway/chat/jinja/filters.h"
#include "gateway/chat/jinja/parser.h"
#include "gateway/chat/jinja/tests.h"
#include "proto/wire/status_macros.h"

namespace sluice::gateway::jinja {
namespace {

ExprPtr Node(ExprType type, int line) { return std::make_unique<Expr>(type, line); }

ExprPtr Node(ExprType type, int line, ExprPtr a, ExprPtr b) {
  ExprPtr node = Node(type, line);
  node->kids.push_back(std::move(a));
  node->kids.push_back(std::move(b));
  return node;
}

std::optional<CompareOp> ComparisonOf(const Token& token) {
  if (token.type != TokenType::kOperator) return std::nullopt;
  constexpr std::pair<std::string_view, CompareOp> kOps[] = {
      {"==", CompareOp::kEq}, {"!=", CompareOp::kNe}, {"<", CompareOp::kLt},
      {"<=", CompareOp::kLe}, {">", CompareOp::kGt},  {">=", CompareOp::kGe}};
  for (const auto& [symbol, op] : kOps) {
    if (token.text == symbol) return op;
  }
  return std::nullopt;
}

}  // namespace

absl::StatusOr<ExprPtr> Parser::ParseTuple(bool with_condition, bool in_parentheses,
                                           bool until_recursive) {
  const int line = Current().line;
  std::vector<ExprPtr> items;
  bool is_tuple = false;
  while (true) {
    if (!items.empty()) SLUICE_RETURN_IF_ERROR(ExpectOperator(","));
    const bool at_end = Current().type == TokenType::kVariableEnd ||
                        Current().type == TokenType::kBlockEnd || Current().IsOperator(")") ||
                        (until_recursive && Current().IsName("recursive"));
    if (at_end) break;
    SLUICE_ASSIGN_OR_RETURN(ExprPtr item, ParseExpression(with_condition));
    items.push_back(std::move(item));
    if (!Current().IsOperator(",")) break;
    is_tuple = true;
  }
  if (!is_tuple) {
    if (!items.empty()) return std::move(items[0]);
    if (!in_parentheses) {
      return Fail(absl::StrCat("expected an expression, got ", Current().Describe()));
    }
  }
  ExprPtr tuple = Node(ExprType::kTuple, line);
  tuple->kids = std::move(items);
  return tuple;
}

absl::StatusOr<ExprPtr> Parser::ParseExpression(bool with_condition) {
  SLUICE_RETURN_IF_ERROR(EnterNesting());
  absl::StatusOr<ExprPtr> expr = with_condition ? ParseCondition() : ParseOr();
  --nesting_;
  return expr;
}

absl::StatusOr<ExprPtr> Parser::ParseCondition() {
  int line = Current().line;
  const int outer_nesting = nesting_;
  SLUICE_ASSIGN_OR_RETURN(ExprPtr expr, ParseOr());
  while (SkipName("if")) {
    SLUICE_ASSIGN_OR_RETURN(ExprPtr test, ParseOr());
    ExprPtr otherwise;
    if (SkipName("else")) {
      SLUICE_RETURN_IF_ERROR(EnterNesting());
      SLUICE_ASSIGN_OR_RETURN(otherwise, ParseCondition());
      --nesting_;
    }
    expr = Node(ExprType::kCondition, line, std::move(expr), std::move(test));
    expr->kids.push_back(std::move(otherwise));
    line = Current().line;
    // Each round wraps the last, so a long chain is as deep as nested parentheses.
    SLUICE_RETURN_IF_ERROR(EnterNesting());
  }
  nesting_ = outer_nesting;
  return expr;
}

absl::StatusOr<ExprPtr> Parser::ParseOr() {
  const int line = Current().line;
  SLUICE_ASSIGN_OR_RETURN(ExprPtr left, ParseAnd());
  if (!Current().IsName("or")) return left;
  ExprPtr node = Node(ExprType::kOr, line);
  node->kids.push_back(std::move(left));
  while (SkipName("or")) {
    SLUICE_ASSIGN_OR_RETURN(ExprPtr right, ParseAnd());
    node->kids.push_back(std::move(right));
  }
  return node;
}

absl::StatusOr<ExprPtr> Parser::ParseAnd() {
  const int line = Current().line;
  SLUICE_ASSIGN_OR_RETURN(ExprPtr left, ParseNot());
  if (!Current().IsName("and")) return left;
  ExprPtr node = Node(ExprType::kAnd, line);
  node->kids.push_back(std::move(left));
  while (SkipName("and")) {
    SLUICE_ASSIGN_OR_RETURN(ExprPtr right, ParseNot());
    node->kids.push_back(std::move(right));
  }
  return node;
}

absl::StatusOr<ExprPtr> Parser::ParseNot() {
  if (!Current().IsName("not")) return ParseCompare();
  ExprPtr node = Node(ExprType::kNot, Current().line);
  Next();
  SLUICE_RETURN_IF_ERROR(EnterNesting());
  SLUICE_ASSIGN_OR_RETURN(ExprPtr operand, ParseNot());
  --nesting_;
  node->kids.push_back(std::move(operand));
  return node;
}

absl::StatusOr<ExprPtr> Parser::ParseCompare() {
  const int line = Current().line;
  SLUICE_ASSIGN_OR_RETURN(ExprPtr first, ParseSum());
  ExprPtr node = Node(ExprType::kCompare, line);
  node->kids.push_back(std::move(first));
  while (true) {
    if (const std::optional<CompareOp> op = ComparisonOf(Current())) {
      Next();
      node->comparisons.push_back(*op);
    } else if (SkipName("in")) {
      node->comparisons.push_back(CompareOp::kIn);
    } else if (Current().IsName("not") && Look().IsName("in")) {
      Next();
      Next();
      node->comparisons.push_back(CompareOp::kNotIn);
    } else {
      break;
    }
    SLUICE_ASSIGN_OR_RETURN(ExprPtr operand, ParseSum());
    node->kids.push_back(std::move(operand));
  }
  if (node->comparisons.empty()) return std::move(node->kids[0]);
  return node;
}

absl::StatusOr<ExprPtr> Parser::ParseSum() {
  SLUICE_ASSIGN_OR_RETURN(ExprPtr left, ParseConcat());
  const int outer_nesting = nesting_;
  while (Current().IsOperator("+") || Current().IsOperator("-")) {
    const BinaryOp op = Current().text == "+" ? BinaryOp::kAdd : BinaryOp::kSub;
    const int line = Current().line;
    Next();
    SLUICE_RETURN_IF_ERROR(EnterNesting());
    SLUICE_ASSIGN_OR_RETURN(ExprPtr right, ParseConcat());
    left = Node(ExprType::kBinary, line, std::move(left), std::move(right));
    left->binary = op;
  }
  nesting_ = outer_nesting;
  return left;
}

absl::StatusOr<ExprPtr> Parser::ParseConcat() {
  const int line = Current().line;
  SLUICE_ASSIGN_OR_RETURN(ExprPtr first, ParseProduct());
  if (!Current().IsOperator("~")) return first;
  ExprPtr node = Node(ExprType::kConcat, line);
  node->kids.push_back(std::move(first));
  while (SkipOperator("~")) {
    SLUICE_ASSIGN_OR_RETURN(ExprPtr next, ParseProduct());
    node->kids.push_back(std::move(next));
  }
  return node;
}

absl::StatusOr<ExprPtr> Parser::ParseProduct() {
  SLUICE_ASSIGN_OR_RETURN(ExprPtr left, ParsePower());
  const int outer_nesting = nesting_;
  while (true) {
    BinaryOp op;
    if (Current().IsOperator("*")) {
      op = BinaryOp::kMul;
    } else if (Current().IsOperator("/")) {
      op = BinaryOp::kDiv;
    } else if (Current().IsOperator("//")) {
      op = BinaryOp::kFloorDiv;
    } else if (Current().IsOperator("%")) {
      op = BinaryOp::kMod;
    } else {
      break;
    }
    const int line = Current().line;
    Next();
    SLUICE_RETURN_IF_ERROR(EnterNesting());
    SLUICE_ASSIGN_OR_RETURN(ExprPtr right, ParsePower());
    left = Node(ExprType::kBinary, line, std::move(left), std::move(right));
    left->binary = op;
  }
  nesting_ = outer_nesting;
  return left;
}

absl::StatusOr<ExprPtr> Parser::ParsePower() {
  SLUICE_ASSIGN_OR_RETURN(ExprPtr left, ParseUnary(true));
  const int outer_nesting = nesting_;
  while (Current().IsOperator("**")) {  // to the left, as Jinja has it
    const int line = Current().line;
    Next();
    SLUICE_RETURN_IF_ERROR(EnterNesting());
    SLUICE_ASSIGN_OR_RETURN(ExprPtr right, ParseUnary(true));
    left = Node(ExprType::kBinary, line, std::move(left), std::move(right));
    left->binary = BinaryOp::kPow;
  }
  nesting_ = outer_nesting;
  return left;
}

absl::StatusOr<ExprPtr> Parser::ParseUnary(bool with_filters) {
  ExprPtr node;
  if (Current().IsOperator("-") || Current().IsOperator("+")) {
    node = Node(Current().text == "-" ? ExprType::kNegate : ExprType::kPositive, Current().line);
    Next();
    SLUICE_RETURN_IF_ERROR(EnterNesting());
    SLUICE_ASSIGN_OR_RETURN(ExprPtr operand, ParseUnary(false));
    --nesting_;
    node->kids.push_back(std::move(operand));
  } else {
    SLUICE_ASSIGN_OR_RETURN(node, ParsePrimary());
  }
  SLUICE_ASSIGN_OR_RETURN(node, ParsePostfix(std::move(node)));
  if (!with_filters) return node;
  return ParseFilters(std::move(node));
}

absl::StatusOr<ExprPtr> Parser::ParsePrimary() {
  const Token& token = Current();
  if (token.type == TokenType::kName) return ParseNameOrConstant();
  if (token.type == TokenType::kNumber) {
    ExprPtr node = Node(ExprType::kConst, token.line);
    node->value = token.number;
    Next();
    return node;
  }
  if (token.type == TokenType::kString) {
    ExprPtr node = Node(ExprType::kConst, token.line);
    std::string text;
    while (Current().type == TokenType::kString) {  // neighbours join
      text += Current().text;
      Next();
    }
    node->value = Value::TemplateString(std::move(text));
    return node;
  }
  if (token.IsOperator("(")) {
    Next();
    SLUICE_ASSIGN_OR_RETURN(ExprPtr node, ParseTuple(true, true, false));
    SLUICE_RETURN_IF_ERROR(ExpectOperator(")"));
    return node;
  }
  if (token.IsOperator("[")) return ParseList();
  if (token.IsOperator("{")) return ParseDict();
  return Fail(absl::StrCat("unexpected ", token.Describe()));
}

absl::StatusOr<ExprPtr> Parser::ParseNameOrConstant() {
  const std::string& name = Current().text;
  const bool is_true = name == "true" || name == "True";
  ExprPtr node = Node(ExprType::kConst, Current().line);
  if (is_true || name == "false" || name == "False") {
    node->value = Value::Bool(is_true);
  } else if (name == "none" || name == "None") {
    node->value = Value::None();
  } else {
    node->type = ExprType::kName;
    node->name = name;
    node->value = Value::TemplateString(name);
  }
  Next();
  return node;
}

absl::StatusOr<ExprPtr> Parser::ParseList() {
  ExprPtr node = Node(ExprType::kList, Current().line);
  Next();
  while (!Current().IsOperator("]")) {
    if (!node->kids.empty()) SLUICE_RETURN_IF_ERROR(ExpectOperator(","));
    if (Current().IsOperator("]")) break;
    SLUICE_ASSIGN_OR_RETURN(ExprPtr item, ParseExpression());
    node->kids.push_back(std::move(item));
  }
  Next();
  return node;
}

absl::StatusOr<ExprPtr> Parser::ParseDict() {
  ExprPtr node = Node(ExprType::kDict, Current().line);
  Next();
  while (!Current().IsOperator("}")) {
    if (!node->kids.empty()) SLUICE_RETURN_IF_ERROR(ExpectOperator(","));
    if (Current().IsOperator("}")) break;
    SLUICE_ASSIGN_OR_RETURN(ExprPtr key, ParseExpression());
    SLUICE_RETURN_IF_ERROR(ExpectOperator(":"));
    SLUICE_ASSIGN_OR_RETURN(ExprPtr value, ParseExpression());
    node->kids.push_back(std::move(key));
    node->kids.push_back(std::move(value));
  }
  Next();
  return node;
}

absl::StatusOr<ExprPtr> Parser::ParsePostfix(ExprPtr node) {
  const int outer_nesting = nesting_;
  while (true) {
    // Each step wraps the last.
    SLUICE_RETURN_IF_ERROR(EnterNesting());
    if (SkipOperator(".")) {
      SLUICE_ASSIGN_OR_RETURN(node, ParseAttribute(std::move(node)));
    } else if (Current().IsOperator("[")) {
      SLUICE_ASSIGN_OR_RETURN(node, ParseSubscript(std::move(node)));
    } else if (Current().IsOperator("(")) {
      SLUICE_ASSIGN_OR_RETURN(node, ParseCall(std::move(node)));
    } else {
      nesting_ = outer_nesting;
      return node;
    }
  }
}

absl::StatusOr<ExprPtr> Parser::ParseFilters(ExprPtr node) {
  const int outer_nesting = nesting_;
  while (true) {
    SLUICE_RETURN_IF_ERROR(EnterNesting());
    if (SkipOperator("|")) {
      SLUICE_ASSIGN_OR_RETURN(node, ParseFilter(std::move(node)));
    } else if (Current().IsName("is")) {
      SLUICE_ASSIGN_OR_RETURN(node, ParseTest(std::move(node)));
    } else if (Current().IsOperator("(")) {
      SLUICE_ASSIGN_OR_RETURN(node, ParseCall(std::move(node)));
    } else {
      nesting_ = outer_nesting;
      return node;
    }
  }
}

absl::StatusOr<ExprPtr> Parser::ParseAttribute(ExprPtr node) {
  const Token& token = Current();
  if (token.type == TokenType::kName) {
    ExprPtr attribute = Node(ExprType::kGetAttr, token.line);
    attribute->value = Value::TemplateString(token.text);
    attribute->kids.push_back(std::move(node));
    Next();
    return attribute;
  }
  if (token.type == TokenType::kNumber && !token.number.is(Kind::kFloat)) {
    ExprPtr index = Node(ExprType::kConst, token.line);
    index->value = token.number;
    const int line = token.line;
    Next();
    return Node(ExprType::kGetItem, line, std::move(node), std::move(index));
  }
  return Fail("expected a name or a number after '.'");
}

absl::StatusOr<ExprPtr> Parser::ParseSubscript(ExprPtr node) {
  const int line = Current().line;
  Next();
  std::vector<ExprPtr> parts;
  bool has_slice = false;
  ExprPtr slice = Node(ExprType::kSlice, line);
  while (!Current().IsOperator("]")) {
    if (!parts.empty() || has_slice) SLUICE_RETURN_IF_ERROR(ExpectOperator(","));
    if (has_slice) return Fail("a subscript with a slice has one part only");
    SLUICE_ASSIGN_OR_RETURN(ExprPtr part, ParseSubscriptPart(&slice));
    if (part == nullptr) {
      has_slice = true;
    } else {
      parts.push_back(std::move(part));
    }
  }
  Next();
  if (has_slice) {
    if (!parts.empty()) return Fail("a subscript with a slice has one part only");
    slice->kids.insert(slice->kids.begin(), std::move(node));
    return slice;
  }
  if (parts.size() == 1)
    return Node(ExprType::kGetItem, line, std::move(node), std::move(parts[0]));
  ExprPtr tuple = Node(ExprType::kTuple, line);
  tuple->kids = std::move(parts);
  return Node(ExprType::kGetItem, line, std::move(node), std::move(tuple));
}

// An expression, or null after adding start, stop and step to *slice.
absl::StatusOr<ExprPtr> Parser::ParseSubscriptPart(ExprPtr* slice) {
  ExprPtr start;
  if (!Current().IsOperator(":")) {
    SLUICE_ASSIGN_OR_RETURN(start, ParseExpression());
    if (!Current().IsOperator(":")) return start;
  }
  Next();
  const auto at_end = [this] { return Current().IsOperator("]") || Current().IsOperator(","); };
  ExprPtr stop;
  ExprPtr step;
  if (!at_end() && !Current().IsOperator(":")) {
    SLUICE_ASSIGN_OR_RETURN(stop, ParseExpression());
  }
  if (SkipOperator(":") && !at_end()) {
    SLUICE_ASSIGN_OR_RETURN(step, ParseExpression());
  }
  (*slice)->kids.push_back(std::move(start));
  (*slice)->kids.push_back(std::move(stop));
  (*slice)->kids.push_back(std::move(step));
  return ExprPtr();
}

absl::StatusOr<ExprPtr> Parser::ParseCall(ExprPtr node) {
  ExprPtr call = Node(ExprType::kCall, Current().line);
  call->kids.push_back(std::move(node));
  SLUICE_ASSIGN_OR_RETURN(call->call, ParseArguments());
  return call;
}

absl::StatusOr<CallSyntax> Parser::ParseArguments() {
  CallSyntax call;
  SLUICE_RETURN_IF_ERROR(ExpectOperator("("));
  bool first = true;
  while (!Current().IsOperator(")")) {
    if (!first) {
      SLUICE_RETURN_IF_ERROR(ExpectOperator(","));
      if (Current().IsOperator(")")) break;  // a trailing comma
    }
    first = false;
    const bool plain = call.star == nullptr && call.double_star == nullptr;
    if (SkipOperator("*")) {
      if (!plain) return Fail("invalid order of arguments");
      SLUICE_ASSIGN_OR_RETURN(call.star, ParseExpression());
    } else if (SkipOperator("**")) {
      if (call.double_star != nullptr) return Fail("invalid order of arguments");
      SLUICE_ASSIGN_OR_RETURN(call.double_star, ParseExpression());
    } else if (Current().type == TokenType::kName && Look().IsOperator("=")) {
      if (call.double_star != nullptr) return Fail("invalid order of arguments");
      const std::string name = Current().text;
      for (const auto& [other, value] : call.keyword) {
        if (other.str().view() == name) {
          return Fail(absl::StrCat("the argument '", name, "' is there twice"));
        }
      }
      Next();
      Next();
      SLUICE_ASSIGN_OR_RETURN(ExprPtr value, ParseExpression());
      call.keyword.emplace_back(Value::TemplateString(name), std::move(value));
    } else {
      if (!plain || !call.keyword.empty()) return Fail("invalid order of arguments");
      SLUICE_ASSIGN_OR_RETURN(ExprPtr value, ParseExpression());
      call.positional.push_back(std::move(value));
    }
  }
  SLUICE_RETURN_IF_ERROR(ExpectOperator(")"));
  return call;
}

absl::StatusOr<ExprPtr> Parser::ParseFilter(ExprPtr node) {
  ExprPtr filter = Node(ExprType::kFilter, Current().line);
  SLUICE_ASSIGN_OR_RETURN(filter->name, TakeName());
  while (SkipOperator(".")) {
    SLUICE_ASSIGN_OR_RETURN(const std::string part, TakeName());
    filter->name += "." + part;
  }
  filter->filter = FindFilter(filter->name);
  if (filter->filter == nullptr) {
    return ErrorAtLine(filter->line, absl::StrCat("unknown filter '", filter->name, "'"));
  }
  filter->kids.push_back(std::move(node));
  if (Current().IsOperator("(")) {
    SLUICE_ASSIGN_OR_RETURN(filter->call, ParseArguments());
  }
  SLUICE_RETURN_IF_ERROR(CheckNamedArgument(*filter));
  return filter;
}

// map, select and their kind take the name of a filter or test: a literal one is checked like any
// other.
absl::Status Parser::CheckNamedArgument(const Expr& filter) const {
  const bool is_map = filter.name == "map";
  const bool is_select = filter.name == "select" || filter.name == "reject";
  const bool is_attribute = filter.name == "selectattr" || filter.name == "rejectattr";
  if (!is_map && !is_select && !is_attribute) return absl::OkStatus();
  const size_t position = is_attribute ? 1 : 0;
  if (filter.call.positional.size() <= position) return absl::OkStatus();
  const Expr& argument = *filter.call.positional[position];
  if (argument.type != ExprType::kConst || !argument.value.is_string()) return absl::OkStatus();
  const std::string_view name = argument.value.str().view();
  if (is_map ? FindFilter(name) != nullptr : FindTest(name) != nullptr) return absl::OkStatus();
  return ErrorAtLine(argument.line, absl::StrCat("unknown ", is_map ? "filter" : "test", " '",
                                                 std::string(name), "'"));
}

absl::StatusOr<ExprPtr> Parser::ParseTest(ExprPtr node) {
  const int line = Current().line;
  Next();  // is
  const bool negated = SkipName("not");
  ExprPtr test = Node(ExprType::kTest, line);
  SLUICE_ASSIGN_OR_RETURN(test->name, TakeName());
  while (SkipOperator(".")) {
    SLUICE_ASSIGN_OR_RETURN(const std::string part, TakeName());
    test->name += "." + part;
  }
  test->test = FindTest(test->name);
  if (test->test == nullptr) {
    return ErrorAtLine(line, absl::StrCat("unknown test '", test->name, "'"));
  }
  test->kids.push_back(std::move(node));
  const Token& token = Current();
  const bool starts_argument = token.type == TokenType::kName || token.type == TokenType::kString ||
                               token.type == TokenType::kNumber || token.IsOperator("[") ||
                               token.IsOperator("{");
  if (token.IsOperator("(")) {
    SLUICE_ASSIGN_OR_RETURN(test->call, ParseArguments());
  } else if (starts_argument && !token.IsName("else") && !token.IsName("or") &&
             !token.IsName("and")) {
    if (token.IsName("is")) return Fail("tests with 'is' cannot be chained");
    SLUICE_ASSIGN_OR_RETURN(ExprPtr argument, ParsePrimary());
    SLUICE_ASSIGN_OR_RETURN(argument, ParsePostfix(std::move(argument)));
    test->call.positional.push_back(std::move(argument));
  }
  if (!negated) return test;
  ExprPtr inverse = Node(ExprType::kNot, line);
  inverse->kids.push_back(std::move(test));
  return inverse;
}

}  // namespace sluice::gateway::jinja
