// SPDX-License-Identifier: Apache-2.0
// What the layers need while they load, handed down from Qwen3Model::Load on the loading thread.
#pragma once

#include "kernels/cpu/thread_pool.h"
#include "worker/model/qwen3_config.h"
#include "worker/weights/weight_reader.h"

namespace sluice::worker {

struct LoadContext {
  const Qwen3Config& config;
  WeightReader& reader;
  kernels::cpu::ThreadPool& pool;
  int rank = 0;
  int world_size = 1;
};

}  // namespace sluice::worker
