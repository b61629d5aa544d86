// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/reference/linear_reference.h"

#include <algorithm>
#include <cmath>

namespace sluice::kernels::cpu::reference {

float LinearOutput(const PlainWeight& weight, int64_t n, const float* x) {
  const int64_t slice_inputs = weight.inputs / weight.num_slices;
  const int64_t groups = weight.scales.empty() ? 0 : weight.inputs / weight.block;
  std::vector<float> sums;
  for (int s = 0; s < weight.num_slices; ++s) {
    float slice = 0.0f;
    const int64_t end = (s + 1) * slice_inputs;
    for (int64_t begin = s * slice_inputs; begin < end; begin += weight.block) {
      float block = 0.0f;
      for (int64_t k = begin; k < std::min(end, begin + weight.block); ++k) {
        block = std::fma(x[k], weight.values[n * weight.inputs + k], block);
      }
      const float scale =
          weight.scales.empty() ? 1.0f : weight.scales[n * groups + begin / weight.block];
      slice = std::fma(block, scale, slice);
    }
    sums.push_back(slice);
  }
  while (sums.size() > 1) {
    std::vector<float> pairs;
    for (size_t i = 0; i < sums.size(); i += 2) pairs.push_back(sums[i] + sums[i + 1]);
    sums = pairs;
  }
  return sums[0];
}

std::vector<float> Linear(const PlainWeight& weight, const std::vector<float>& x,
                          int64_t num_rows) {
  std::vector<float> y;
  for (int64_t row = 0; row < num_rows; ++row) {
    for (int64_t n = 0; n < weight.outputs; ++n) {
      y.push_back(LinearOutput(weight, n, x.data() + row * weight.inputs));
    }
  }
  return y;
}

}  // namespace sluice::kernels::cpu::reference
