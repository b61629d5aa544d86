// SPDX-License-Identifier: Apache-2.0
// StepPlan: what every rank of a group does in one step. The scheduler writes it, the leader ships
// it, every executor obeys it; the seam that lets ranks hold no policy. It is a delta against a row
// table that each rank keeps, and never contains a value that an earlier step sampled: a decoding
// row names "the token sampled last", which the executor already has. The wire form is
// sluice.worker.v1.StepPlan.
//
// An executor applies the parts in this order: released_rows, added, pages, page_copies, rows.
#pragma once

#include <memory>
#include <vector>

#include "worker/base/ids.h"
#include "worker/base/sampling_params.h"

namespace sluice::worker {

// A sequence takes a row. Its table of pages starts empty.
struct RowAdd {
  RowId row = 0;
  // Position of the first token that a step will compute for this row (greater than 0 after a
  // prefix hit).
  int32_t position = 0;

  // What only rank 0 needs, since it alone samples; null on other ranks and absent on the wire.
  struct Sampling {
    SamplingParams params;
    uint32_t choice = 0;            // keys the draws together with params.seed
    std::vector<TokenId> prompt;    // for the repetition penalty and prompt log probabilities
    std::vector<TokenId> output;    // ids generated before this row began: they count as output
    std::vector<TokenId> stop_ids;  // masked before params.min_tokens (the model's own ids
                                    // included, unless ignore_eos)
  };
  std::shared_ptr<const Sampling> sampling = {};
};

// Pages appended to a row's table, in order of position.
struct PagesAppend {
  RowId row = 0;
  std::vector<PageId> pages;
};

// All layers' keys and values of one page, copied to another before any row of the step runs: the
// choices of one request share the full pages of their prompt, and each has its own copy of the
// page in which they part.
struct PageCopy {
  PageId from = 0;
  PageId to = 0;
};

// The tokens that one row computes in this step; they continue at the row's current position.
struct RowStep {
  RowId row = 0;
  // Known ids (prefill, or ids generated elsewhere). Empty: one token, the one this row sampled
  // last.
  std::vector<TokenId> ids = {};
  // The logits of the last token are wanted and a token is sampled from them.
  bool sample = false;
  // Guesses at what follows the id sampled last; only with empty ids, and sample set. The row
  // computes that id and the drafts, and samples after each as it would without them: the first
  // sample always counts, the next one only if the first equals the first draft, and so on. The row
  // advances by as many positions as samples count; keys and values of the drafts beyond are
  // overwritten by the row's next step. What a plan names for this row after such a step depends on
  // the result, so it is written only once the result is known.
  std::vector<TokenId> drafts = {};
  // After this many of the first ids, the log probability of the prompt's next id is wanted. A
  // count, so that ranks which do not know where the prompt ends gather the same logits.
  int num_prompt_logprobs = 0;

  int num_tokens() const { return static_cast<int>(ids.empty() ? 1 + drafts.size() : ids.size()); }
};

struct StepPlan {
  StepId step = 0;
  std::vector<RowId> released_rows = {};
  std::vector<RowAdd> added = {};
  std::vector<PagesAppend> pages = {};
  std::vector<PageCopy> page_copies = {};
  std::vector<RowStep> rows = {};
};

}  // namespace sluice::worker
