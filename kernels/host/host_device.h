// SPDX-License-Identifier: Apache-2.0
// Marks arithmetic that launchers and kernels share, in headers that a host compiler reads too.
#pragma once

#ifdef __CUDACC__
#define SLUICE_HOST_DEVICE __host__ __device__
#else
#define SLUICE_HOST_DEVICE
#endif
