// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "gateway/chat/jinja/parser.h"
#include "proto/wire/status_macros.h"

namespace sluice::gateway::jinja {
namespace {

// Deeper templates are refused: the parser, the scope analysis and the destructors recurse.
constexpr int kMaxNesting = 120;

constexpr std::string_view kKnownButRefused[] = {"block",     "extends",    "include", "import",
                                                 "from",      "autoescape", "do",      "trans",
                                                 "pluralize", "debug"};

ExprPtr NameExpr(const std::string& name, int line) {
  auto expr = std::make_unique<Expr>(ExprType::kName, line);
  expr->name = name;
  expr->value = Value::TemplateString(name);
  return expr;
}

bool IsReservedName(std::string_view name) {
  constexpr std::string_view kReserved[] = {"true", "false", "none", "True", "False", "None"};
  return std::find(std::begin(kReserved), std::end(kReserved), name) != std::end(kReserved);
}

}  // namespace

absl::Status Parser::Fail(std::string_view message) const {
  return ErrorAtLine(Current().line, message);
}

absl::Status Parser::EnterNesting() {
  if (++nesting_ <= kMaxNesting) return absl::OkStatus();
  return Fail(absl::StrCat("nested deeper than ", kMaxNesting, " levels"));
}

bool Parser::SkipOperator(std::string_view symbol) {
  if (!Current().IsOperator(symbol)) return false;
  Next();
  return true;
}

bool Parser::SkipName(std::string_view name) {
  if (!Current().IsName(name)) return false;
  Next();
  return true;
}

absl::Status Parser::ExpectOperator(std::string_view symbol) {
  if (SkipOperator(symbol)) return absl::OkStatus();
  return Fail(absl::StrCat("expected '", std::string(symbol), "', got ", Current().Describe()));
}

absl::Status Parser::ExpectName(std::string_view name) {
  if (SkipName(name)) return absl::OkStatus();
  return Fail(absl::StrCat("expected '", std::string(name), "', got ", Current().Describe()));
}

absl::StatusOr<std::string> Parser::TakeName() {
  if (Current().type != TokenType::kName) {
    return Fail(absl::StrCat("expected a name, got ", Current().Describe()));
  }
  std::string name = Current().text;
  Next();
  return name;
}

absl::Status Parser::ExpectBlockEnd() {
  if (Current().type != TokenType::kBlockEnd) {
    return Fail(absl::StrCat("expected '%}', got ", Current().Describe()));
  }
  Next();
  return absl::OkStatus();
}

absl::StatusOr<Block> Parser::ParseTemplate() {
  SLUICE_ASSIGN_OR_RETURN(Block body, ParseBlock({}));
  SLUICE_RETURN_IF_ERROR(CheckCalls(body));
  return body;
}

absl::StatusOr<Block> Parser::ParseBlock(const EndTags& end_tags) {
  SLUICE_RETURN_IF_ERROR(EnterNesting());
  Block body;
  while (Current().type != TokenType::kEnd) {
    if (Current().type == TokenType::kData) {
      auto data = std::make_unique<Stmt>(StmtType::kData, Current().line);
      data->text = Value::TemplateString(Current().text);
      body.push_back(std::move(data));
      Next();
    } else if (Current().type == TokenType::kVariableBegin) {
      auto output = std::make_unique<Stmt>(StmtType::kOutput, Current().line);
      Next();
      SLUICE_ASSIGN_OR_RETURN(ExprPtr expr, ParseTuple(true, false, false));
      output->exprs.push_back(std::move(expr));
      if (Current().type != TokenType::kVariableEnd) {
        return Fail(absl::StrCat("expected '}}', got ", Current().Describe()));
      }
      Next();
      body.push_back(std::move(output));
    } else {
      Next();  // {%
      const bool at_end_tag =
          Current().type == TokenType::kName &&
          std::find(end_tags.begin(), end_tags.end(), Current().text) != end_tags.end();
      if (at_end_tag) {
        --nesting_;
        return body;
      }
      SLUICE_ASSIGN_OR_RETURN(StmtPtr statement, ParseStatement());
      SLUICE_RETURN_IF_ERROR(ExpectBlockEnd());
      body.push_back(std::move(statement));
    }
  }
  if (!end_tags.empty()) {
    return Fail(absl::StrCat(
        "the template ends where {% ",
        absl::StrJoin(std::vector<std::string>(end_tags.begin(), end_tags.end()), " %} or {% "),
        " %} is missing"));
  }
  --nesting_;
  return body;
}

absl::StatusOr<Block> Parser::ParseBody(const EndTags& end_tags, bool drop_end_tag) {
  SkipOperator(":");  // allowed by Jinja for those who think in Python
  SLUICE_RETURN_IF_ERROR(ExpectBlockEnd());
  SLUICE_ASSIGN_OR_RETURN(Block body, ParseBlock(end_tags));
  if (drop_end_tag) Next();
  return body;
}

absl::StatusOr<StmtPtr> Parser::ParseStatement() {
  if (Current().type != TokenType::kName) return Fail("expected the name of a tag");
  const std::string& tag = Current().text;
  if (tag == "if") return ParseIf();
  if (tag == "for") return ParseFor();
  if (tag == "set") return ParseSet();
  if (tag == "macro") return ParseMacro();
  if (tag == "call") return ParseCallBlock();
  if (tag == "filter") return ParseFilterBlock();
  if (tag == "with") return ParseWith();
  if (tag == "generation") return ParseGeneration();
  if (tag == "print") return ParsePrint();
  if (tag == "break") return ParseLoopControl(StmtType::kBreak);
  if (tag == "continue") return ParseLoopControl(StmtType::kContinue);
  const bool known = std::find(std::begin(kKnownButRefused), std::end(kKnownButRefused), tag) !=
                     std::end(kKnownButRefused);
  if (known) return Fail(absl::StrCat("the tag '", tag, "' is not supported in chat templates"));
  return Fail(absl::StrCat("unknown tag '", tag, "'"));
}

absl::StatusOr<StmtPtr> Parser::ParseIf() {
  auto root = std::make_unique<Stmt>(StmtType::kIf, Current().line);
  Next();
  Stmt* node = root.get();
  while (true) {
    SLUICE_ASSIGN_OR_RETURN(ExprPtr test, ParseTuple(false, false, false));
    node->exprs.push_back(std::move(test));
    SLUICE_ASSIGN_OR_RETURN(node->body, ParseBody({"elif", "else", "endif"}, false));
    const std::string tag = Current().text;
    Next();
    if (tag == "elif") {
      auto branch = std::make_unique<Stmt>(StmtType::kIf, Current().line);
      Stmt* next = branch.get();
      node->else_body.push_back(std::move(branch));
      node = next;
      continue;
    }
    if (tag == "else") {
      SLUICE_ASSIGN_OR_RETURN(node->else_body, ParseBody({"endif"}, true));
    }
    return root;
  }
}

absl::StatusOr<StmtPtr> Parser::ParseFor() {
  auto node = std::make_unique<Stmt>(StmtType::kFor, Current().line);
  Next();
  const size_t target_index = index_;
  SLUICE_ASSIGN_OR_RETURN(ExprPtr target, ParseTarget(kNamesOnly));
  SLUICE_RETURN_IF_ERROR(ExpectName("in"));
  SLUICE_ASSIGN_OR_RETURN(ExprPtr items, ParseTuple(false, false, true));
  node->exprs.push_back(std::move(items));
  node->targets.push_back(std::move(target));
  if (SkipName("if")) {
    SLUICE_ASSIGN_OR_RETURN(ExprPtr test, ParseExpression());
    node->exprs.push_back(std::move(test));
    // The filter binds the target to variables of its own, so it is parsed a second time.
    const size_t after = std::exchange(index_, target_index);
    SLUICE_ASSIGN_OR_RETURN(ExprPtr test_target, ParseTarget(kNamesOnly));
    node->test_targets.push_back(std::move(test_target));
    index_ = after;
  }
  node->recursive = SkipName("recursive");
  const int outer_depth = std::exchange(loop_depth_, node->recursive ? 1 : loop_depth_ + 1);
  SLUICE_ASSIGN_OR_RETURN(node->body, ParseBody({"endfor", "else"}, false));
  // In a recursive loop the else branch is outside of any loop.
  loop_depth_ = node->recursive ? 0 : outer_depth;
  const bool has_else = Current().IsName("else");
  Next();
  if (has_else) {
    SLUICE_ASSIGN_OR_RETURN(node->else_body, ParseBody({"endfor"}, true));
  }
  loop_depth_ = outer_depth;
  return node;
}

absl::StatusOr<StmtPtr> Parser::ParseSet() {
  const int line = Current().line;
  Next();
  SLUICE_ASSIGN_OR_RETURN(ExprPtr target, ParseTarget(kNamesAndNamespaces));
  if (SkipOperator("=")) {
    auto node = std::make_unique<Stmt>(StmtType::kSet, line);
    node->targets.push_back(std::move(target));
    SLUICE_ASSIGN_OR_RETURN(ExprPtr value, ParseTuple(true, false, false));
    node->exprs.push_back(std::move(value));
    return node;
  }
  auto node = std::make_unique<Stmt>(StmtType::kSetBlock, line);
  node->targets.push_back(std::move(target));
  ExprPtr filter;
  const int outer_nesting = nesting_;
  while (SkipOperator("|")) {
    SLUICE_RETURN_IF_ERROR(EnterNesting());
    SLUICE_ASSIGN_OR_RETURN(filter, ParseFilter(std::move(filter)));
  }
  nesting_ = outer_nesting;
  if (filter != nullptr) node->exprs.push_back(std::move(filter));
  SLUICE_ASSIGN_OR_RETURN(node->body, ParseBody({"endset"}, true));
  return node;
}

absl::StatusOr<Block> Parser::ParseFunctionBody(const EndTags& end_tags) {
  const int outer_depth = std::exchange(loop_depth_, 0);
  SLUICE_ASSIGN_OR_RETURN(Block body, ParseBody(end_tags, true));
  loop_depth_ = outer_depth;
  return body;
}

absl::Status Parser::ParseSignature(MacroSyntax* macro) {
  SLUICE_RETURN_IF_ERROR(ExpectOperator("("));
  while (!Current().IsOperator(")")) {
    if (!macro->parameter_names.empty()) SLUICE_RETURN_IF_ERROR(ExpectOperator(","));
    SLUICE_ASSIGN_OR_RETURN(std::string name, TakeName());
    if (IsReservedName(name)) return Fail(absl::StrCat("'", name, "' cannot be a parameter"));
    for (const Value& other : macro->parameter_names) {
      if (other.str().view() == name) {
        return Fail(absl::StrCat("the parameter '", name, "' is there twice"));
      }
    }
    macro->names_caller |= name == "caller";
    macro->parameter_names.push_back(Value::TemplateString(std::move(name)));
    if (SkipOperator("=")) {
      SLUICE_ASSIGN_OR_RETURN(ExprPtr value, ParseExpression());
      macro->defaults.push_back(std::move(value));
    } else if (!macro->defaults.empty()) {
      return Fail("a parameter without a default follows one with a default");
    }
  }
  return ExpectOperator(")");
}

absl::StatusOr<StmtPtr> Parser::ParseMacro() {
  auto node = std::make_unique<Stmt>(StmtType::kMacro, Current().line);
  Next();
  node->macro = std::make_unique<MacroSyntax>();
  SLUICE_ASSIGN_OR_RETURN(node->macro->name, TakeName());
  if (IsReservedName(node->macro->name)) {
    return Fail(absl::StrCat("'", node->macro->name, "' cannot be the name of a macro"));
  }
  SLUICE_RETURN_IF_ERROR(ParseSignature(node->macro.get()));
  SLUICE_ASSIGN_OR_RETURN(node->macro->body, ParseFunctionBody({"endmacro"}));
  return node;
}

absl::StatusOr<StmtPtr> Parser::ParseCallBlock() {
  auto node = std::make_unique<Stmt>(StmtType::kCallBlock, Current().line);
  Next();
  node->macro = std::make_unique<MacroSyntax>();
  node->macro->name = "caller";
  if (Current().IsOperator("(")) SLUICE_RETURN_IF_ERROR(ParseSignature(node->macro.get()));
  SLUICE_ASSIGN_OR_RETURN(ExprPtr call, ParseExpression());
  if (call->type != ExprType::kCall) return ErrorAtLine(node->line, "{% call %} expects a call");
  node->exprs.push_back(std::move(call));
  SLUICE_ASSIGN_OR_RETURN(node->macro->body, ParseFunctionBody({"endcall"}));
  return node;
}

absl::StatusOr<StmtPtr> Parser::ParseFilterBlock() {
  auto node = std::make_unique<Stmt>(StmtType::kFilterBlock, Current().line);
  Next();
  ExprPtr filter;
  const int outer_nesting = nesting_;
  do {
    SLUICE_RETURN_IF_ERROR(EnterNesting());
    SLUICE_ASSIGN_OR_RETURN(filter, ParseFilter(std::move(filter)));
  } while (SkipOperator("|"));
  nesting_ = outer_nesting;
  node->exprs.push_back(std::move(filter));
  SLUICE_ASSIGN_OR_RETURN(node->body, ParseBody({"endfilter"}, true));
  return node;
}

absl::StatusOr<StmtPtr> Parser::ParseWith() {
  auto node = std::make_unique<Stmt>(StmtType::kWith, Current().line);
  Next();
  while (Current().type != TokenType::kBlockEnd) {
    if (!node->targets.empty()) SLUICE_RETURN_IF_ERROR(ExpectOperator(","));
    SLUICE_ASSIGN_OR_RETURN(ExprPtr target, ParseTarget(kNamesOnly));
    SLUICE_RETURN_IF_ERROR(ExpectOperator("="));
    SLUICE_ASSIGN_OR_RETURN(ExprPtr value, ParseExpression());
    node->targets.push_back(std::move(target));
    node->exprs.push_back(std::move(value));
  }
  SLUICE_ASSIGN_OR_RETURN(node->body, ParseBody({"endwith"}, true));
  return node;
}

// Transformers marks what the assistant wrote with this tag, for training; rendering only gives the
// block its own names.
absl::StatusOr<StmtPtr> Parser::ParseGeneration() {
  auto node = std::make_unique<Stmt>(StmtType::kScope, Current().line);
  Next();
  SLUICE_ASSIGN_OR_RETURN(node->body, ParseFunctionBody({"endgeneration"}));
  return node;
}

absl::StatusOr<StmtPtr> Parser::ParsePrint() {
  auto node = std::make_unique<Stmt>(StmtType::kOutput, Current().line);
  Next();
  while (Current().type != TokenType::kBlockEnd) {
    if (!node->exprs.empty()) SLUICE_RETURN_IF_ERROR(ExpectOperator(","));
    SLUICE_ASSIGN_OR_RETURN(ExprPtr expr, ParseExpression());
    node->exprs.push_back(std::move(expr));
  }
  return node;
}

absl::StatusOr<StmtPtr> Parser::ParseLoopControl(StmtType type) {
  if (loop_depth_ == 0) return Fail(absl::StrCat("'", Current().text, "' outside of a loop"));
  auto node = std::make_unique<Stmt>(type, Current().line);
  Next();
  return node;
}

absl::StatusOr<ExprPtr> Parser::ParseTarget(TargetRules rules) {
  const int line = Current().line;
  std::vector<ExprPtr> parts;
  bool is_tuple = false;
  while (true) {
    const bool grouped = Current().IsOperator("(");
    if (Current().type != TokenType::kName && !grouped) {
      if (is_tuple) break;  // a trailing comma
      return Fail(absl::StrCat("expected a name to assign to, got ", Current().Describe()));
    }
    if (is_tuple && Current().IsName("in")) break;
    if (grouped) {
      Next();
      SLUICE_RETURN_IF_ERROR(EnterNesting());
      SLUICE_ASSIGN_OR_RETURN(ExprPtr inner, ParseTarget(rules));
      --nesting_;
      SLUICE_RETURN_IF_ERROR(ExpectOperator(")"));
      parts.push_back(std::move(inner));
    } else {
      const int name_line = Current().line;
      SLUICE_ASSIGN_OR_RETURN(const std::string name, TakeName());
      if (IsReservedName(name)) return Fail(absl::StrCat("cannot assign to '", name, "'"));
      if (rules == kNamesAndNamespaces && SkipOperator(".")) {
        auto ref = std::make_unique<Expr>(ExprType::kNamespaceRef, name_line);
        ref->name = name;
        SLUICE_ASSIGN_OR_RETURN(std::string attribute, TakeName());
        ref->value = Value::TemplateString(std::move(attribute));
        parts.push_back(std::move(ref));
      } else {
        parts.push_back(NameExpr(name, name_line));
      }
    }
    if (!SkipOperator(",")) break;
    is_tuple = true;
  }
  if (!is_tuple) return std::move(parts[0]);
  auto tuple = std::make_unique<Expr>(ExprType::kTuple, line);
  tuple->kids = std::move(parts);
  return tuple;
}

}  // namespace sluice::gateway::jinja
