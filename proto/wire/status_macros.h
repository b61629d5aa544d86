// SPDX-License-Identifier: Apache-2.0
// Early return for absl::Status and absl::StatusOr. Debian 12's Abseil has no such macros. Used by
// gateway and worker alike, which may not include each other; that is why it lives with the wire
// agreements.
#pragma once

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

// Evaluates an expression of type absl::Status and returns it from the calling function unless it
// is OK.
#define SLUICE_RETURN_IF_ERROR(expr)               \
  do {                                             \
    absl::Status sluice_status = (expr);           \
    if (!sluice_status.ok()) return sluice_status; \
  } while (false)

// SLUICE_ASSIGN_OR_RETURN(auto x, F()): F returns absl::StatusOr; x gets its value, or the status
// is returned.
#define SLUICE_ASSIGN_OR_RETURN(lhs, expr) \
  SLUICE_ASSIGN_OR_RETURN_IMPL(SLUICE_STATUS_CONCAT(sluice_or_, __LINE__), lhs, expr)
// A declaration cannot be parenthesised.
// NOLINTBEGIN(bugprone-macro-parentheses)
#define SLUICE_ASSIGN_OR_RETURN_IMPL(var, lhs, expr) \
  auto var = (expr);                                 \
  if (!var.ok()) return var.status();                \
  lhs = std::move(var).value()
// NOLINTEND(bugprone-macro-parentheses)
#define SLUICE_STATUS_CONCAT(a, b) SLUICE_STATUS_CONCAT_IMPL(a, b)
#define SLUICE_STATUS_CONCAT_IMPL(a, b) a##b
