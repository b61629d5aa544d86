// SPDX-License-Identifier: Apache-2.0
// The oracle of linear.h: the same sum as plain loops over unpacked weights. Every path of Linear
// must agree with it bit for bit.
#pragma once

#include <cstdint>
#include <vector>

namespace sluice::kernels::cpu::reference {

// An unpacked weight, or a row-parallel shard of one.
struct PlainWeight {
  int64_t outputs = 0;
  int64_t inputs = 0;
  int num_slices = 1;         // of this shard
  int block = 128;            // consecutive inputs per scale
  std::vector<float> values;  // [outputs][inputs]; q - z where the weight is quantized
  std::vector<float> scales;  // [outputs][inputs / block]; empty: 1
};

// y[n] of one row x [inputs].
float LinearOutput(const PlainWeight& weight, int64_t n, const float* x);

// y [num_rows][outputs] of x [num_rows][inputs].
std::vector<float> Linear(const PlainWeight& weight, const std::vector<float>& x, int64_t num_rows);

}  // namespace sluice::kernels::cpu::reference
