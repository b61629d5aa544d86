// SPDX-License-Identifier: Apache-2.0
// Instruction sets the kernels exist in. All give the same bits; the best one the CPU has is taken
// at first use. Tests and benches force a lower one.
#pragma once

namespace sluice::kernels::cpu {

enum class Isa {
  kGeneric,  // std::fma, any host
  kX86V2,    // SSE4.1, FMA emulated exactly
  kX86V3,    // AVX2, FMA, F16C
  kX86V4,    // AVX-512 F, BW, DQ, VL
};

// Static storage, for logs: "generic", "x86-64-v2", "x86-64-v3", "x86-64-v4".
const char* IsaName(Isa isa);

// True if this build holds the kernels and this CPU (and its operating system) runs them.
bool IsaSupported(Isa isa);

// What kernels run with.
Isa ActiveIsa();

// Affects later calls on all threads. REQUIRES: IsaSupported(isa); no kernel is running.
void SetIsaForTest(Isa isa);

}  // namespace sluice::kernels::cpu
