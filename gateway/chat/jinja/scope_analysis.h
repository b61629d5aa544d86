// SPDX-License-Identifier: Apache-2.0
// Scope analysis: binds every name of a template to a slot, by Jinja2's rules (its idtracking and
// compiler). Which names a block assigns decides what a read in it sees: an if shares the scope
// around it, a loop or a macro has its own, and a name that a scope assigns hides the variable of
// the same name that was passed in. Pure; any thread.
#pragma once

#include "absl/status/statusor.h"
#include "gateway/chat/jinja/ast.h"

namespace sluice::gateway::jinja {

// INVALID_ARGUMENT with the line where a name is used in a way that Jinja forbids (assigning to
// loop in a loop).
absl::StatusOr<TemplateSyntax> AnalyzeScopes(Block body);

}  // namespace sluice::gateway::jinja
