// SPDX-License-Identifier: Apache-2.0
// A small tokenizer.json for tests: the 256 bytes, some merges, some added tokens, everything else
// as Qwen3 has it.
#pragma once

#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace sluice::gateway {

using ByteMerges = std::vector<std::pair<std::string, std::string>>;  // as bytes, not as spelled

// Ids: 0..255 the bytes in their order, then one for each new merge result, then the added tokens.
nlohmann::ordered_json SmallTokenizerJson(const ByteMerges& merges,
                                          const std::vector<std::string>& added_tokens = {});

// Merges as training makes them: each joins two tokens that exist, into one that does not. The
// alphabet is small, so that tokens overlap in every way.
ByteMerges RandomMerges(std::mt19937& rng, int count, const std::string& alphabet);

}  // namespace sluice::gateway
