// SPDX-License-Identifier: Apache-2.0
// What NCCL should read from the process's environment unless the operator has set it otherwise.
// NCCL has no other way to be told, and reads each variable once, at its first call; so a main puts
// these into its environment before it starts a thread (setenv is not thread safe). Plain data;
// needs neither CUDA nor NCCL.
#pragma once

namespace sluice::worker {

struct EnvironmentDefault {
  const char* name;
  const char* value;
};

inline constexpr EnvironmentDefault kNcclEnvironment[] = {
    // No NVLink multicast (NVLS): where the fabric's manager does not allow it a group hangs or
    // fails at start, and a program that uses it can put the GPUs of a shared host out of service.
    {"NCCL_NVLS_ENABLE", "0"},
    // Buffers by cudaMalloc. The alternative costs GPU memory with every captured graph (issue 1234
    // of NVIDIA/nccl: 1 to 2 GiB), serves multicast and multi-host NVLink, which we do not use, and
    // would connect ranks at the first collective of each algorithm instead of at start.
    {"NCCL_CUMEM_ENABLE", "0"},
};

}  // namespace sluice::worker
