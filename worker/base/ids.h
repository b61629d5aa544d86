// SPDX-License-Identifier: Apache-2.0
// Names for the integers that cross folders of the worker.
#pragma once

#include <cstdint>

namespace sluice::worker {

// Index into the tokenizer's vocabulary. Negative values are never valid tokens.
using TokenId = int32_t;
// Index of a KV page; every layer uses the same index. Page 0 is scratch and belongs to nobody.
using PageId = int32_t;
// Slot of the row table that every rank keeps; one running sequence occupies one row.
using RowId = int32_t;
// Counts steps of a group from 1.
using StepId = int64_t;

// Tokens per KV page.
inline constexpr int kPageTokens = 64;
inline constexpr PageId kScratchPage = 0;

}  // namespace sluice::worker
