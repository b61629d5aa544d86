// SPDX-License-Identifier: Apache-2.0
// Workload: which request comes at which place. Request number i is the same whenever it is made,
// so that a run can be repeated and the order of sending changes nothing. Immutable.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "gateway/cli/bench/length_distribution.h"
#include "gateway/cli/bench/load_target.h"
#include "gateway/cli/bench/prompt_shape.h"

namespace sluice::gateway {

struct WorkloadOptions {
  LengthDistribution prompt_tokens;  // template included, shared prefix left out
  LengthDistribution output_tokens;
  int shared_prefix_tokens = 0;  // before every prompt
  int num_prefixes = 1;          // different ones; each request takes one at random
  uint64_t seed = 0;
};

class Workload {
 public:
  // Random words.
  Workload(WorkloadOptions options, PromptShape shape);
  // These in turn, over again when they are used up. Where one does not say how long its answer may
  // be, options.output_tokens does. REQUIRES: `prompts` is not empty.
  Workload(WorkloadOptions options, std::vector<LoadRequest> prompts);

  LoadRequest Make(uint64_t index) const;

 private:
  LoadRequest MakeRandom(uint64_t index, RandomStream& lengths) const;

  const WorkloadOptions options_;
  const PromptShape shape_;
  std::vector<std::string> prefixes_;
  const std::vector<LoadRequest> prompts_;
};

}  // namespace sluice::gateway
