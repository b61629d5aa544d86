// SPDX-License-Identifier: Apache-2.0
// The frequencies that a model's rotary embedding turns by, YaRN included. Pure.
#pragma once

#include "kernels/cpu/rope.h"
#include "worker/model/qwen3_config.h"

namespace sluice::worker {

kernels::cpu::RopeFrequencies RopeFrequenciesOf(const Qwen3Config& config);

}  // namespace sluice::worker
