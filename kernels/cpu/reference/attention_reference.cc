// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/reference/attention_reference.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/cpu/reference/math_reference.h"

namespace sluice::kernels::cpu::reference {

std::vector<float> Attention(const std::vector<float>& q, const std::vector<float>& keys,
                             const std::vector<float>& values, float scale) {
  constexpr size_t kPageSlots = 64;
  const size_t dim = q.size();
  const size_t num_positions = keys.size() / dim;
  std::vector<float> out(dim, 0.0f);
  float max = -std::numeric_limits<float>::infinity();
  float sum = 0.0f;
  for (size_t begin = 0; begin < num_positions; begin += kPageSlots) {
    const size_t valid = std::min(kPageSlots, num_positions - begin);
    std::vector<float> p(valid);
    float page_max = max;
    for (size_t t = 0; t < valid; ++t) {
      float score = 0.0f;
      for (size_t d = 0; d < dim; ++d) score = std::fma(q[d], keys[(begin + t) * dim + d], score);
      p[t] = score * scale;
      page_max = p[t] > page_max ? p[t] : page_max;
    }
    const float correction = Exp(max - page_max);
    for (float& value : p) value = Exp(value - page_max);
    sum = std::fma(sum, correction, TreeSum16(p));
    max = page_max;
    for (size_t d = 0; d < dim; ++d) {
      out[d] *= correction;
      for (size_t t = 0; t < valid; ++t)
        out[d] = std::fma(p[t], values[(begin + t) * dim + d], out[d]);
    }
  }
  for (float& value : out) value /= sum;
  return out;
}

}  // namespace sluice::kernels::cpu::reference
