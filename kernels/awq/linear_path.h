// SPDX-License-Identifier: Apache-2.0
// Which way an AWQ linear is computed, by the number of rows alone: a step's linears all take the
// same way, and the same number of rows gives the same bits.
#pragma once

namespace sluice::kernels::awq {

enum class LinearPath {
  kSmall,   // small_linear.h: partial sums
  kMedium,  // medium_linear.h: partial sums
  kDense,   // dequantize.h into scratch, then dense_linear.h: finished values
};

// rows: at least 1. The first boundary is where tokens no longer fit two tensor core instructions,
// the second where medium_linear ends. Both are arithmetic and still have to be measured on a GPU.
constexpr LinearPath ChooseLinearPath(int rows) {
  if (rows <= 16) return LinearPath::kSmall;
  if (rows <= 128) return LinearPath::kMedium;
  return LinearPath::kDense;
}

}  // namespace sluice::kernels::awq
