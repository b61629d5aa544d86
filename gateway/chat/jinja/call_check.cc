// SPDX-License-Identifier: Apache-2.0
// Refuses calls that can never succeed, when the template is loaded.
#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "gateway/chat/jinja/functions.h"
#include "gateway/chat/jinja/methods.h"
#include "gateway/chat/jinja/parser.h"
#include "gateway/chat/jinja/syntax_walk.h"

namespace sluice::gateway::jinja {
namespace {

// Names that a template itself may bind to something callable. The variables passed in are JSON and
// are not.
struct Definitions {
  std::set<std::string> variables{"loop", "caller"};
  std::set<std::string> attributes;
};

void AddParameters(const Block& body, Definitions* definitions) {
  for (const StmtPtr& stmt : body) {
    if (stmt->macro != nullptr) {
      for (const Value& name : stmt->macro->parameter_names) {
        definitions->variables.insert(name.str().text.bytes());
      }
      AddParameters(stmt->macro->body, definitions);
    }
    AddParameters(stmt->body, definitions);
    AddParameters(stmt->else_body, definitions);
  }
}

void AddAttributes(const Expr& expr, Definitions* definitions) {
  if (expr.type == ExprType::kNamespaceRef) {
    definitions->attributes.insert(expr.value.str().text.bytes());
  }
  for (const auto& [name, value] : expr.call.keyword) {
    definitions->attributes.insert(name.str().text.bytes());
  }
  if (expr.type != ExprType::kDict) return;
  for (size_t i = 0; i < expr.kids.size(); i += 2) {
    const Expr& key = *expr.kids[i];
    if (key.type == ExprType::kConst && key.value.is_string()) {
      definitions->attributes.insert(key.value.str().text.bytes());
    }
  }
}

Definitions Collect(const Block& body) {
  Definitions definitions;
  SyntaxVisitor visitor;
  visitor.store = [&](const std::string& name, int) { definitions.variables.insert(name); };
  visitor.expr = [&](const Expr& expr) { AddAttributes(expr, &definitions); };
  Walk(body, visitor);
  AddParameters(body, &definitions);
  return definitions;
}

absl::Status CheckCall(const Expr& call, const Definitions& definitions) {
  const Expr& callee = *call.kids[0];
  if (callee.type == ExprType::kName) {
    const std::string& name = callee.name;
    if (FindFunction(name) != nullptr || definitions.variables.count(name) != 0) {
      return absl::OkStatus();
    }
    return ErrorAtLine(call.line, absl::StrCat("unknown function '", name, "'"));
  }
  if (callee.type == ExprType::kGetAttr) {
    const std::string& name = callee.value.str().text.bytes();
    if (IsMethodName(name) || definitions.attributes.count(name) != 0) return absl::OkStatus();
    return ErrorAtLine(call.line, absl::StrCat("unknown method '", name, "'"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckCalls(const Block& body) {
  const Definitions definitions = Collect(body);
  absl::Status status;
  SyntaxVisitor visitor;
  visitor.expr = [&](const Expr& expr) {
    if (expr.type == ExprType::kCall && status.ok()) status = CheckCall(expr, definitions);
  };
  Walk(body, visitor);
  return status;
}

}  // namespace sluice::gateway::jinja
