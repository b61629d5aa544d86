// SPDX-License-Identifier: Apache-2.0
// What -fsanitize=kernel-address lets the kernels call before each load and store.
#include <cstddef>

#include "tests/cuda_emulation/simt.h"

using sluice::cuda_emulation::CheckAccess;
using sluice::cuda_emulation::CheckStore;

extern "C" {

#define SLUICE_HOOKS(bytes)                                           \
  void __asan_load##bytes(const void* at) { CheckAccess(at, bytes); } \
  void __asan_store##bytes(const void* at) { CheckStore(at, bytes); }
SLUICE_HOOKS(1)
SLUICE_HOOKS(2)
SLUICE_HOOKS(4)
SLUICE_HOOKS(8)
SLUICE_HOOKS(16)
#undef SLUICE_HOOKS
void __asan_loadN(const void* at, size_t bytes) { CheckAccess(at, bytes); }
void __asan_storeN(const void* at, size_t bytes) { CheckStore(at, bytes); }
void __asan_handle_no_return() {}

}  // extern "C"
