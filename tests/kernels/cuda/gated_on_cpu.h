// SPDX-License-Identifier: Apache-2.0
// SiLU(gate) * up by the CPU's kernel, of a GPU's order of gate and up.
#pragma once

#include <cstddef>
#include <vector>

#include "kernels/cpu/mlp.h"
#include "kernels/cpu/thread_pool.h"

namespace sluice::kernels {

// gate_up: [rows][2 * width], a row's gate and up in turns. Returns [rows][width].
inline std::vector<float> GatedOnCpu(const std::vector<float>& gate_up, int rows, int width,
                                     cpu::ThreadPool& pool) {
  std::vector<float> side_by_side(gate_up.size());
  const auto columns = static_cast<size_t>(width);
  for (size_t row = 0; row < static_cast<size_t>(rows); ++row) {
    const float* from = &gate_up[row * 2 * columns];
    float* to = &side_by_side[row * 2 * columns];
    for (size_t i = 0; i < columns; ++i) {
      to[i] = from[2 * i];
      to[columns + i] = from[2 * i + 1];
    }
  }
  std::vector<float> gated(static_cast<size_t>(rows) * columns);
  cpu::SiluMul(side_by_side.data(), rows, width, gated.data(), pool);
  return gated;
}

}  // namespace sluice::kernels
