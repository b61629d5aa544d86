// SPDX-License-Identifier: Apache-2.0
// A walk over all names of a syntax tree in source order, for the checks that only look at which
// names occur. Pure; any thread.
#pragma once

#include <functional>

#include "gateway/chat/jinja/ast.h"

namespace sluice::gateway::jinja {

struct SyntaxVisitor {
  // A name that is read.
  std::function<void(const Expr& name)> load = [](const Expr&) {};
  // A name that is assigned: by set, for, with or macro (then with the macro's line).
  std::function<void(const std::string& name, int line)> store = [](const std::string&, int) {};
  // Every expression, before its parts.
  std::function<void(const Expr& expr)> expr = [](const Expr&) {};
};

void Walk(const Block& body, const SyntaxVisitor& visitor);
void Walk(const Expr& expr, const SyntaxVisitor& visitor);

}  // namespace sluice::gateway::jinja
