// SPDX-License-Identifier: Apache-2.0
// Dividing many numbers by one.
#pragma once

#include "kernels/host/float_math.h"

namespace sluice::kernels::sampling {

// Quotients by one number, rounded as x / by is, in five instructions (Markstein, "Computation of
// elementary functions on the IBM RISC System/6000", 1990): with the reciprocal rounded to nearest,
// one correction leaves less than one unit of the last place, and the second rounds correctly.
class Divisor {
 public:
  __device__ explicit Divisor(float by) : by_(by), reciprocal_(1.0f / by) {
    // Nothing under- or overflows in between then.
    if (by >= 1e-6f && by <= 1e6f) least_ = 1e-25f;
  }

  __device__ float operator()(float x) const { return IsInRange(x) ? InRange(x) : x / by_; }

  __device__ bool IsInRange(float x) const { return fabsf(x) >= least_ && fabsf(x) <= 1e30f; }
  // REQUIRES: IsInRange(x).
  __device__ float InRange(float x) const {
    float quotient = Product(x, reciprocal_);
    quotient = fmaf(fmaf(-quotient, by_, x), reciprocal_, quotient);
    return fmaf(fmaf(-quotient, by_, x), reciprocal_, quotient);
  }

 private:
  float by_, reciprocal_;
  float least_ = 3.402823466e+38f;
};

}  // namespace sluice::kernels::sampling
