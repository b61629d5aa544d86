// SPDX-License-Identifier: Apache-2.0
#include "gateway/cli/bench/workload.h"

#include <utility>

namespace sluice::gateway {

using Purpose = RandomStream::Purpose;

Workload::Workload(WorkloadOptions options, PromptShape shape)
    : options_(std::move(options)), shape_(std::move(shape)) {
  if (options_.shared_prefix_tokens == 0) return;
  const int words = shape_.WordsFor(options_.shared_prefix_tokens, 1);
  for (int i = 0; i < options_.num_prefixes; ++i) {
    RandomStream random(options_.seed, Purpose::kPrefix, static_cast<uint64_t>(i));
    prefixes_.push_back(RandomWords(shape_, words, random) + " ");
  }
}

Workload::Workload(WorkloadOptions options, std::vector<LoadRequest> prompts)
    : options_(std::move(options)), prompts_(std::move(prompts)) {}

LoadRequest Workload::Make(uint64_t index) const {
  RandomStream lengths(options_.seed, Purpose::kLengths, index);
  if (prompts_.empty()) return MakeRandom(index, lengths);
  LoadRequest request = prompts_[index % prompts_.size()];
  if (request.max_tokens == 0) request.max_tokens = options_.output_tokens.Sample(lengths);
  return request;
}

LoadRequest Workload::MakeRandom(uint64_t index, RandomStream& lengths) const {
  LoadRequest request;
  request.prompt_tokens = options_.prompt_tokens.Sample(lengths) + options_.shared_prefix_tokens;
  request.max_tokens = options_.output_tokens.Sample(lengths);
  const double own_tokens =
      request.prompt_tokens - options_.shared_prefix_tokens - shape_.template_tokens;
  RandomStream random(options_.seed, Purpose::kPrompt, index);
  if (!prefixes_.empty()) request.prompt = prefixes_[random.Below(prefixes_.size())];
  request.prompt += RandomWords(shape_, shape_.WordsFor(own_tokens, 1), random);
  return request;
}

}  // namespace sluice::gateway
