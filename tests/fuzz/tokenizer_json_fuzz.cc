// SPDX-License-Identifier: Apache-2.0
// tokenizer.json from a model folder of unknown origin: it is refused or gives a tokenizer whose
// encoding and decoding fit together. Each input of the corpus is a small but complete file, since
// mutations of the real one would be slow.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "gateway/tokenizer/nfc.h"
#include "gateway/tokenizer/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto tokenizer = sluice::gateway::Tokenizer::FromJson(text);
  if (!tokenizer.ok()) {
    // A refusal must stay readable, whatever the file holds.
    if (tokenizer.status().message().empty() || tokenizer.status().message().size() > 4096) abort();
    return 0;
  }
  const std::string sample =
      "ab abcab e\u0301\n\u4F60\u597D<|end|>'s 12  \U0001F600 aaaaaaaaaaaaaaab";
  if (!(*tokenizer)->Encode(sample).ok()) abort();
  // Without added tokens, which would be normalized around, the text comes back in NFC.
  const sluice::gateway::ByteRange all = {.begin = 0, .end = sample.size()};
  const auto ids = (*tokenizer)->Encode(sample, {&all, 1});
  if (!ids.ok()) abort();
  if ((*tokenizer)->Decode(*ids, false) != sluice::gateway::NormalizeNfc(sample)) abort();
  for (sluice::gateway::TokenId id = 0; id < std::min((*tokenizer)->vocab_size(), 4096); ++id) {
    if ((*tokenizer)->TokenBytes(id).has_value() != (*tokenizer)->TokenString(id).has_value()) {
      abort();
    }
  }
  return 0;
}
