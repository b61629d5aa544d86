// SPDX-License-Identifier: Apache-2.0
// What every layer needs to know about the step that is running. Lives for one Forward.
#pragma once

#include <cstdint>

#include "kernels/cpu/attention.h"
#include "kernels/cpu/thread_pool.h"
#include "worker/parallel/communicator.h"

namespace sluice::worker {

struct StepContext {
  kernels::cpu::ThreadPool& pool;
  Communicator& communicator;
  int64_t num_tokens = 0;
  const kernels::cpu::TokenPlace* places = nullptr;  // [num_tokens]
  const float* cos = nullptr;                        // [num_tokens][head_dim / 2]
  const float* sin = nullptr;                        // [num_tokens][head_dim / 2]
};

}  // namespace sluice::worker
