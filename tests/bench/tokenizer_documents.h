// SPDX-License-Identifier: Apache-2.0
// Documents of 2 to 20 kB for the tokenizer bench, the same on every machine: prose and Chinese
// drawn from the words of a tokenizer's vocabulary by Zipf's law, code from this repository's own
// sources. Drawn words meet in every combination, so no cache is flattered by a small corpus.
#pragma once

#include <string>
#include <vector>

#include "gateway/tokenizer/tokenizer.h"

namespace sluice::bench {

struct DocumentSet {
  std::string kind;
  std::vector<std::string> documents;
};

// "prose", "code" and "chinese", each of `count` documents.
std::vector<DocumentSet> MakeDocuments(const gateway::Tokenizer& tokenizer, int count);

}  // namespace sluice::bench
