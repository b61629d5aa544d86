// SPDX-License-Identifier: Apache-2.0
// Which way an AWQ linear is computed, by the number of rows alone: a step's linears all take the
// same way, and the same number of rows gives the same bits.
#pragma once

#include "kernels/awq/medium_linear.h"
#include "kernels/awq/small_linear.h"

namespace sluice::kernels::awq {

enum class LinearPath {
  kSmall,   // small_linear.h: partial sums
  kMedium,  // medium_linear.h: partial sums, or gated values
  kDense,   // dequantize.h into scratch, then dense_linear.h: finished values
};

// The most rows of kSmall, though its kernel takes more.
inline constexpr int kSmallPathRows = 7;
static_assert(kSmallPathRows <= kMaxSmallRows);

// rows: at least 1. Both boundaries come from H100s (docs/performance.md). The first: a layer's
// four linears take 70, 86 and 101 us at 1, 8 and 16 rows as kSmall, and 77 at 17 as kMedium, which
// leaves more pieces to be added up, though. The second: they take 1.00 ms at 1,024 rows and 2.01
// at 2,048 as kMedium, 1.27 and 2.16 as kDense, 0.33 of it for widening the weights. What reads
// partial sums has 4 bytes to read where it would have 2, by arithmetic 0.07 ms at 2,048 rows.
constexpr LinearPath ChooseLinearPath(int rows) {
  if (rows <= kSmallPathRows) return LinearPath::kSmall;
  if (rows <= kMaxMediumRows) return LinearPath::kMedium;
  return LinearPath::kDense;
}

}  // namespace sluice::kernels::awq
