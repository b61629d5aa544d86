// SPDX-License-Identifier: Apache-2.0
// From the worker's log probabilities of one id to the entry that clients see. A pure function, any
// thread.
#pragma once

#include "gateway/backend/worker_client.h"
#include "gateway/openai/delta.h"
#include "gateway/tokenizer/tokenizer.h"

namespace sluice::gateway {

// output_bytes is left to the ledger.
LogprobEntry MakeLogprobEntry(const Tokenizer& tokenizer, TokenId id,
                              const TokenLogprobs& logprobs);

}  // namespace sluice::gateway
