// SPDX-License-Identifier: Apache-2.0
// PagePool: who owns which KV page. Pages are numbers here; the memory behind them belongs to the
// executors. A page given back is not free at once: ranks may still run steps that read it, so it
// is retired together with the last step that names it and becomes free when every rank has
// reported that step. Owned by the scheduler; one thread.
#pragma once

#include <map>
#include <vector>

#include "worker/base/ids.h"

namespace sluice::worker {

// Pages that hold this many tokens.
constexpr int PagesFor(int num_tokens) { return (num_tokens + kPageTokens - 1) / kPageTokens; }

class PagePool {
 public:
  // num_pages counts page 0, which is scratch and never handed out. REQUIRES: num_pages >= 2.
  explicit PagePool(int num_pages);

  // Appends n pages to out, lowest numbers first, or does nothing and returns false.
  bool Take(int n, std::vector<PageId>& out);

  // Gives pages back. They become free when SetStepDone reaches last_step; at once if it already
  // has (0: no step ever named them).
  void Retire(std::vector<PageId> pages, StepId last_step);

  // Every rank has finished all steps up to this one. Never goes back.
  void SetStepDone(StepId step);

  int num_total() const { return num_pages_ - 1; }
  int num_free() const { return static_cast<int>(free_.size()); }
  int num_retired() const { return num_retired_; }
  // Held by sequences.
  int num_used() const { return num_total() - num_free() - num_retired(); }

 private:
  void Free(const std::vector<PageId>& pages);

  const int num_pages_;
  std::vector<PageId> free_;  // min-heap: low numbers first keep the touched memory small
  std::map<StepId, std::vector<PageId>> retired_;
  int num_retired_ = 0;
  StepId step_done_ = 0;
};

}  // namespace sluice::worker
