// SPDX-License-Identifier: Apache-2.0
#include "gateway/chat/jinja/syntax_walk.h"

namespace sluice::gateway::jinja {
namespace {

void WalkTarget(const Expr& target, const SyntaxVisitor& visitor) {
  if (target.type == ExprType::kName) visitor.store(target.name, target.line);
  if (target.type == ExprType::kNamespaceRef) visitor.expr(target);
  for (const ExprPtr& kid : target.kids) WalkTarget(*kid, visitor);
}

void WalkMacro(const MacroSyntax& macro, const SyntaxVisitor& visitor) {
  for (const ExprPtr& value : macro.defaults) Walk(*value, visitor);
  Walk(macro.body, visitor);
}

void WalkAll(const std::vector<ExprPtr>& exprs, const SyntaxVisitor& visitor) {
  for (const ExprPtr& expr : exprs) Walk(*expr, visitor);
}

void WalkStatement(const Stmt& stmt, const SyntaxVisitor& visitor) {
  if (stmt.type == StmtType::kMacro) visitor.store(stmt.macro->name, stmt.line);
  WalkAll(stmt.exprs, visitor);
  for (const ExprPtr& target : stmt.targets) WalkTarget(*target, visitor);
  if (stmt.macro != nullptr) WalkMacro(*stmt.macro, visitor);
  Walk(stmt.body, visitor);
  Walk(stmt.else_body, visitor);
}

}  // namespace

void Walk(const Block& body, const SyntaxVisitor& visitor) {
  for (const StmtPtr& stmt : body) WalkStatement(*stmt, visitor);
}

void Walk(const Expr& expr, const SyntaxVisitor& visitor) {
  visitor.expr(expr);
  if (expr.type == ExprType::kName) visitor.load(expr);
  for (const ExprPtr& kid : expr.kids) {
    if (kid != nullptr) Walk(*kid, visitor);
  }
  for (const ExprPtr& argument : expr.call.positional) Walk(*argument, visitor);
  for (const auto& [name, argument] : expr.call.keyword) Walk(*argument, visitor);
  if (expr.call.star != nullptr) Walk(*expr.call.star, visitor);
  if (expr.call.double_star != nullptr) Walk(*expr.call.double_star, visitor);
}

}  // namespace sluice::gateway::jinja
