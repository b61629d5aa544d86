// SPDX-License-Identifier: Apache-2.0
// Stands in for kernels/device/arrival.cuh.
#pragma once

#include <cuda_runtime.h>

namespace sluice::kernels::device {

inline int Arrive(int* counter) { return atomicAdd(counter, 1); }

}  // namespace sluice::kernels::device
