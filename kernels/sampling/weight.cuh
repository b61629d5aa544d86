// SPDX-License-Identifier: Apache-2.0
// Weights are whole numbers, so that sums of them are exact and in any order the same.
#pragma once

#include "kernels/sampling/workspace.h"

namespace sluice::kernels::sampling {

// weight: exp(value - max), at most 1. As a Weight: floor(weight * 2^kWeightBits).
__device__ inline Weight WeightOf(float weight) {
  return static_cast<Weight>(weight * 17592186044416.0f);
}

// ceil(total * fraction), at least 1; fraction in (0, 1]. Exact: a float has 24 bits, and what lies
// below 2^-64 of the total makes no difference to the least id that is kept.
__device__ inline Weight CeilOfPart(Weight total, float fraction) {
  if (fraction >= 1.0f) return total;
  const auto scaled = static_cast<Weight>(static_cast<double>(fraction) * 18446744073709551616.0);
  const Weight high = __umul64hi(total, scaled);
  return total * scaled != 0 || high == 0 ? high + 1 : high;
}

}  // namespace sluice::kernels::sampling
