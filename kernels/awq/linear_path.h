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

// rows: at least 1. Both boundaries are arithmetic and still have to be measured on a GPU. The
// first is where tokens no longer fit two tensor core instructions. The second: a pass over the 14B
// through widened weights moves 33 GB (11 ms at 3 TB/s) before its products begin, and those read
// 26 GB again; mma.sync at 400 TFLOP/s takes 17 ms for 256 rows, and more only from about 350 on.
constexpr LinearPath ChooseLinearPath(int rows) {
  if (rows <= kMaxSmallRows) return LinearPath::kSmall;
  if (rows <= kMaxMediumRows) return LinearPath::kMedium;
  return LinearPath::kDense;
}

}  // namespace sluice::kernels::awq
