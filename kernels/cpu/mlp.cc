// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/mlp.h"

#include "kernels/cpu/partition.h"
#include "kernels/cpu/simd/kernel_table.h"

namespace sluice::kernels::cpu {

void SiluMul(const float* gate_up, int64_t num_rows, int64_t width, float* out, ThreadPool& pool) {
  const simd::KernelTable& kernels = simd::Active();
  ForRanges(num_rows, MinRowsPerTask(width), pool, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const float* gate = gate_up + row * 2 * width;
      kernels.silu_mul(gate, gate + width, width, out + row * width);
    }
  });
}

}  // namespace sluice::kernels::cpu
