// SPDX-License-Identifier: Apache-2.0
// The oracle of the elementwise kernels and reductions: one lane at a time, the order spelled out.
#pragma once

#include <cstdint>
#include <vector>

namespace sluice::kernels::cpu::reference {

// exp(x) as simd/vec_math.h defines it.
float Exp(float x);

// Sixteen lanes by index mod 16, each in ascending order, then l[i] += l[i + 8], + 4, + 2, + 1.
float TreeSum16(const std::vector<float>& values);

// norm.h, one row.
std::vector<float> RmsNorm(const std::vector<float>& x, const std::vector<float>& weight,
                           float eps);

// mlp.h, one row.
std::vector<float> SiluMul(const std::vector<float>& gate, const std::vector<float>& up);

// rope.h, one head.
std::vector<float> Rotate(const std::vector<float>& head, const std::vector<float>& cos,
                          const std::vector<float>& sin);

}  // namespace sluice::kernels::cpu::reference
