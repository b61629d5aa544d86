// SPDX-License-Identifier: Apache-2.0
// A broken layer for mutation_test.cc: worker/model/attention.cc compiled with its HeadNormRope
// replaced by one that norms after RoPE. Linked before the library, it takes the place of the real
// one in that test binary alone.
#define HeadNormRope RopeThenHeadNorm
#include "worker/model/attention.cc"  // NOLINT(bugprone-suspicious-include)
#undef HeadNormRope

#include "kernels/cpu/norm.h"

namespace sluice::kernels::cpu {

void HeadNormRope(float* heads, int64_t token_stride, int64_t num_tokens, int num_heads,
                  int head_dim, const float* norm_weight, float eps, const float* cos,
                  const float* sin, ThreadPool& pool);

void RopeThenHeadNorm(float* heads, int64_t token_stride, int64_t num_tokens, int num_heads,
                      int head_dim, const float* norm_weight, float eps, const float* cos,
                      const float* sin, ThreadPool& pool) {
  HeadNormRope(heads, token_stride, num_tokens, num_heads, head_dim, nullptr, eps, cos, sin, pool);
  for (int64_t token = 0; token < num_tokens; ++token) {
    float* row = heads + token * token_stride;
    RmsNorm(row, norm_weight, eps, num_heads, head_dim, row, pool);
  }
}

}  // namespace sluice::kernels::cpu
