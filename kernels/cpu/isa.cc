// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/isa.h"

#include <atomic>
#include <initializer_list>

#include "kernels/cpu/simd/kernel_table.h"

namespace sluice::kernels::cpu {
namespace {

const simd::KernelTable* TableOf(Isa isa) {
  switch (isa) {
    case Isa::kGeneric:
      return simd::GenericTable();
#if defined(__x86_64__)
    case Isa::kX86V2:
      return __builtin_cpu_supports("sse4.1") ? simd::X86V2Table() : nullptr;
    case Isa::kX86V3:
      return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                     __builtin_cpu_supports("f16c")
                 ? simd::X86V3Table()
                 : nullptr;
    case Isa::kX86V4:
      return TableOf(Isa::kX86V3) != nullptr && __builtin_cpu_supports("avx512f") &&
                     __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                     __builtin_cpu_supports("avx512vl")
                 ? simd::X86V4Table()
                 : nullptr;
#else
    default:
      return nullptr;
#endif
  }
  return nullptr;
}

Isa BestIsa() {
  for (Isa isa : {Isa::kX86V4, Isa::kX86V3, Isa::kX86V2}) {
    if (IsaSupported(isa)) return isa;
  }
  return Isa::kGeneric;
}

// Relaxed: a table is immutable, and SetIsaForTest is never concurrent with a kernel.
struct Choice {
  std::atomic<Isa> isa{BestIsa()};
  std::atomic<const simd::KernelTable*> table{TableOf(isa)};
};

Choice& Current() {
  static Choice choice;
  return choice;
}

}  // namespace

const char* IsaName(Isa isa) {
  switch (isa) {
    case Isa::kGeneric:
      return "generic";
    case Isa::kX86V2:
      return "x86-64-v2";
    case Isa::kX86V3:
      return "x86-64-v3";
    case Isa::kX86V4:
      return "x86-64-v4";
  }
  return "unknown";
}

bool IsaSupported(Isa isa) { return TableOf(isa) != nullptr; }

Isa ActiveIsa() { return Current().isa.load(std::memory_order_relaxed); }

void SetIsaForTest(Isa isa) {
  Current().isa.store(isa, std::memory_order_relaxed);
  Current().table.store(TableOf(isa), std::memory_order_relaxed);
}

namespace simd {

const KernelTable& Active() { return *Current().table.load(std::memory_order_relaxed); }

}  // namespace simd
}  // namespace sluice::kernels::cpu
