// SPDX-License-Identifier: Apache-2.0
// The emulator's twin of kernels/device/launch.cuh.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <tuple>
#include <type_traits>

#include "tests/cuda_emulation/launch.h"

namespace sluice::kernels::device {

template <typename... Params>
void CallKernel(const void* kernel, const void* arguments) {
  std::apply(reinterpret_cast<void (*)(Params...)>(const_cast<void*>(kernel)),
             *static_cast<const std::tuple<Params...>*>(arguments));
}

template <typename... Params>
cudaError_t LaunchWith(bool chained, void (*kernel)(Params...), dim3 grid, dim3 block,
                       size_t shared_bytes, cudaStream_t stream,
                       std::type_identity_t<Params>... args) {
  const auto arguments = std::make_shared<const std::tuple<Params...>>(args...);
  return cuda_emulation::Launch({reinterpret_cast<const void*>(kernel), grid, block, shared_bytes,
                                 arguments.get(), sizeof(*arguments), chained},
                                stream, CallKernel<Params...>, arguments);
}

template <typename... Params>
cudaError_t Launch(void (*kernel)(Params...), dim3 grid, dim3 block, size_t shared_bytes,
                   cudaStream_t stream, std::type_identity_t<Params>... args) {
  return LaunchWith(false, kernel, grid, block, shared_bytes, stream, args...);
}

// Runs after the kernel before it, but finds threads that do not wait, or touch memory before.
template <typename... Params>
cudaError_t LaunchChained(void (*kernel)(Params...), dim3 grid, dim3 block, size_t shared_bytes,
                          cudaStream_t stream, std::type_identity_t<Params>... args) {
  return LaunchWith(true, kernel, grid, block, shared_bytes, stream, args...);
}

inline void LetNextStart() {}
inline void WaitForPrevious() { cuda_emulation::WaitForPrevious(); }
inline void BeginChained() { WaitForPrevious(); }

template <typename... Params>
cudaError_t AllowSharedBytes(void (*kernel)(Params...), size_t bytes) {
  return cuda_emulation::AllowSharedBytes(reinterpret_cast<const void*>(kernel), bytes);
}

inline uint8_t* DynamicShared() { return cuda_emulation::DynamicShared(); }

}  // namespace sluice::kernels::device
