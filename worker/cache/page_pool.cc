// SPDX-License-Identifier: Apache-2.0
#include "worker/cache/page_pool.h"

#include <algorithm>
#include <functional>
#include <utility>

namespace sluice::worker {

PagePool::PagePool(int num_pages) : num_pages_(num_pages) {
  free_.reserve(num_pages);
  for (PageId page = kScratchPage + 1; page < num_pages; ++page) free_.push_back(page);
  // An ascending array already is a min-heap.
}

bool PagePool::Take(int n, std::vector<PageId>& out) {
  if (n > num_free()) return false;
  for (int i = 0; i < n; ++i) {
    std::pop_heap(free_.begin(), free_.end(), std::greater<>());
    out.push_back(free_.back());
    free_.pop_back();
  }
  return true;
}

void PagePool::Retire(std::vector<PageId> pages, StepId last_step) {
  if (pages.empty()) return;
  if (last_step <= step_done_) {
    Free(pages);
    return;
  }
  num_retired_ += static_cast<int>(pages.size());
  std::vector<PageId>& slot = retired_[last_step];
  slot.insert(slot.end(), pages.begin(), pages.end());
}

void PagePool::SetStepDone(StepId step) {
  step_done_ = std::max(step_done_, step);
  while (!retired_.empty() && retired_.begin()->first <= step_done_) {
    num_retired_ -= static_cast<int>(retired_.begin()->second.size());
    Free(retired_.begin()->second);
    retired_.erase(retired_.begin());
  }
}

void PagePool::Free(const std::vector<PageId>& pages) {
  for (PageId page : pages) {
    free_.push_back(page);
    std::push_heap(free_.begin(), free_.end(), std::greater<>());
  }
}

}  // namespace sluice::worker
