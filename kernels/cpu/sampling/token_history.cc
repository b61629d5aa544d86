// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/sampling/token_history.h"

namespace sluice::kernels::cpu {

void TokenHistory::AddPrompt(std::span<const int32_t> ids) {
  for (int32_t id : ids) At(id).in_prompt = true;
}

void TokenHistory::AddOutput(std::span<const int32_t> ids) {
  for (int32_t id : ids) ++At(id).output_count;
}

TokenHistory::Entry& TokenHistory::At(int32_t id) {
  const auto [it, added] = index_.try_emplace(id, static_cast<int32_t>(entries_.size()));
  if (added) entries_.push_back({.id = id});
  return entries_[it->second];
}

}  // namespace sluice::kernels::cpu
