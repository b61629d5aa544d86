// SPDX-License-Identifier: Apache-2.0
#include "gateway/chat/jinja/template.h"

#include "gateway/chat/jinja/ast.h"
#include "gateway/chat/jinja/interpreter.h"
#include "gateway/chat/jinja/lexer.h"
#include "gateway/chat/jinja/parser.h"
#include "gateway/chat/jinja/scope_analysis.h"
#include "proto/wire/status_macros.h"

namespace sluice::gateway::jinja {

Template::Template(std::unique_ptr<const TemplateSyntax> syntax) : syntax_(std::move(syntax)) {}
Template::~Template() = default;

absl::StatusOr<std::unique_ptr<const Template>> Template::Compile(std::string_view source) {
  SLUICE_ASSIGN_OR_RETURN(std::vector<Token> tokens, Tokenize(source));
  SLUICE_ASSIGN_OR_RETURN(Block body, Parser(std::move(tokens)).ParseTemplate());
  SLUICE_ASSIGN_OR_RETURN(TemplateSyntax syntax, AnalyzeScopes(std::move(body)));
  return std::unique_ptr<const Template>(
      new Template(std::make_unique<const TemplateSyntax>(std::move(syntax))));
}

absl::StatusOr<Text> Template::Render(const Variables& variables, const Limits& limits,
                                      std::time_t now) const {
  return Interpreter(*syntax_, variables, limits, now).Run();
}

}  // namespace sluice::gateway::jinja
