// SPDX-License-Identifier: Apache-2.0
// The kernels of one instruction set; compiled with its flags (kernels/cpu/CMakeLists.txt).
#include "kernels/cpu/simd/kernel_table.h"

// The vector type comes first: what follows is written on it.
// clang-format off
#include "kernels/cpu/simd/vec_x86_v3.h"
#include "kernels/cpu/simd/vec_math.h"
#include "kernels/cpu/simd/linear_kernel.h"
#include "kernels/cpu/simd/attention_kernel.h"
#include "kernels/cpu/simd/elementwise_kernel.h"
// clang-format on

namespace sluice::kernels::cpu::simd {

const KernelTable* X86V3Table() { return &kTable; }

}  // namespace sluice::kernels::cpu::simd
