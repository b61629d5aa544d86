// SPDX-License-Identifier: Apache-2.0
// Which way an AWQ linear is computed, by the number of rows alone: a step's linears all take the
// same way, and the same number of rows gives the same bits.
#pragma once

#include "kernels/awq/medium_linear.h"
#include "kernels/awq/small_linear.h"

namespace sluice::kernels::awq {

enum class LinearPath {
  kSmall,   // small_linear.h: partial sums
  kMedium,  // medium_linear.h: partial sums
  kDense,   // dequantize.h into scratch, then dense_linear.h: finished values
};

// rows: at least 1. The first boundary is where tokens no longer fit two tensor core instructions
// of a warp. The second comes from an H100 (docs/performance.md): a layer's four linears take 1.00
// ms at 1,024 rows and 2.01 at 2,048 as kMedium, 1.27 and 2.16 as kDense, 0.33 of it for widening
// the weights. What reads partial sums has 4 bytes to read where it would have 2, by arithmetic
// 0.07 ms at 2,048 rows.
constexpr LinearPath ChooseLinearPath(int rows) {
  if (rows <= kMaxSmallRows) return LinearPath::kSmall;
  if (rows <= kMaxMediumRows) return LinearPath::kMedium;
  return LinearPath::kDense;
}

}  // namespace sluice::kernels::awq
