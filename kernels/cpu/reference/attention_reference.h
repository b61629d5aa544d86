// SPDX-License-Identifier: Apache-2.0
// The oracle of attention.h: one query head of one token over plain keys and values, in the fixed
// order.
#pragma once

#include <cstdint>
#include <vector>

namespace sluice::kernels::cpu::reference {

// q [head_dim]; keys, values [num_positions][head_dim], positions 0 ... num_positions - 1 (the
// token's own is the last). Returns [head_dim].
std::vector<float> Attention(const std::vector<float>& q, const std::vector<float>& keys,
                             const std::vector<float>& values, float scale);

}  // namespace sluice::kernels::cpu::reference
