// SPDX-License-Identifier: Apache-2.0
// The parser: tokens to syntax tree, by Jinja2's grammar. Tags, filters, tests, functions and
// methods that the engine does not have are refused here, with their name and line, so that a model
// folder fails when it is loaded and not at the first conversation that takes the branch. Pure; any
// thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "gateway/chat/jinja/ast.h"
#include "gateway/chat/jinja/lexer.h"

namespace sluice::gateway::jinja {

class Parser {
 public:
  explicit Parser(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  // The whole template, names not yet bound. INVALID_ARGUMENT with the line.
  absl::StatusOr<Block> ParseTemplate();

 private:
  enum TargetRules { kNamesOnly, kNamesAndNamespaces };
  using EndTags = std::vector<std::string_view>;

  // Token stream.
  const Token& Current() const { return tokens_[index_]; }
  const Token& Look() const { return tokens_[std::min(index_ + 1, tokens_.size() - 1)]; }
  void Next() { index_ = std::min(index_ + 1, tokens_.size() - 1); }
  bool SkipOperator(std::string_view symbol);
  bool SkipName(std::string_view name);
  absl::Status ExpectOperator(std::string_view symbol);
  absl::Status ExpectName(std::string_view name);
  absl::StatusOr<std::string> TakeName();
  absl::Status ExpectBlockEnd();
  absl::Status Fail(std::string_view message) const;
  absl::Status EnterNesting();

  // Statements (parser_statements.cc).
  absl::StatusOr<Block> ParseBlock(const EndTags& end_tags);
  absl::StatusOr<Block> ParseBody(const EndTags& end_tags, bool drop_end_tag);
  absl::StatusOr<StmtPtr> ParseStatement();
  absl::StatusOr<StmtPtr> ParseIf();
  absl::StatusOr<StmtPtr> ParseFor();
  absl::StatusOr<StmtPtr> ParseSet();
  absl::StatusOr<StmtPtr> ParseMacro();
  absl::StatusOr<StmtPtr> ParseCallBlock();
  absl::StatusOr<StmtPtr> ParseFilterBlock();
  absl::StatusOr<StmtPtr> ParseWith();
  absl::StatusOr<StmtPtr> ParseGeneration();
  absl::StatusOr<StmtPtr> ParsePrint();
  absl::StatusOr<StmtPtr> ParseLoopControl(StmtType type);
  absl::Status ParseSignature(MacroSyntax* macro);
  absl::StatusOr<Block> ParseFunctionBody(const EndTags& end_tags);
  absl::StatusOr<ExprPtr> ParseTarget(TargetRules rules);

  // Expressions (parser_expressions.cc), from the loosest binding to the tightest.
  absl::StatusOr<ExprPtr> ParseTuple(bool with_condition, bool in_parentheses,
                                     bool until_recursive);
  absl::StatusOr<ExprPtr> ParseExpression(bool with_condition = true);
  absl::StatusOr<ExprPtr> ParseCondition();
  absl::StatusOr<ExprPtr> ParseOr();
  absl::StatusOr<ExprPtr> ParseAnd();
  absl::StatusOr<ExprPtr> ParseNot();
  absl::StatusOr<ExprPtr> ParseCompare();
  absl::StatusOr<ExprPtr> ParseSum();
  absl::StatusOr<ExprPtr> ParseConcat();
  absl::StatusOr<ExprPtr> ParseProduct();
  absl::StatusOr<ExprPtr> ParsePower();
  absl::StatusOr<ExprPtr> ParseUnary(bool with_filters);
  absl::StatusOr<ExprPtr> ParsePrimary();
  absl::StatusOr<ExprPtr> ParseNameOrConstant();
  absl::StatusOr<ExprPtr> ParseList();
  absl::StatusOr<ExprPtr> ParseDict();
  absl::StatusOr<ExprPtr> ParsePostfix(ExprPtr node);
  absl::StatusOr<ExprPtr> ParseFilters(ExprPtr node);
  absl::StatusOr<ExprPtr> ParseAttribute(ExprPtr node);
  absl::StatusOr<ExprPtr> ParseSubscript(ExprPtr node);
  absl::StatusOr<ExprPtr> ParseSubscriptPart(ExprPtr* node);
  absl::StatusOr<ExprPtr> ParseCall(ExprPtr node);
  absl::StatusOr<CallSyntax> ParseArguments();
  // `name(args)` of a filter; node is null for a block. The pipe is already read.
  absl::StatusOr<ExprPtr> ParseFilter(ExprPtr node);
  absl::StatusOr<ExprPtr> ParseTest(ExprPtr node);
  absl::Status CheckNamedArgument(const Expr& filter) const;

  const std::vector<Token> tokens_;
  size_t index_ = 0;
  int nesting_ = 0;     // of expressions and blocks
  int loop_depth_ = 0;  // loops around the current statement within its function
};

// Refuses calls of functions and methods that neither the engine nor the template defines.
absl::Status CheckCalls(const Block& body);

}  // namespace sluice::gateway::jinja
