// SPDX-License-Identifier: Apache-2.0
#include "worker/cache/page_pool.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <functional>
#include <utility>

namespace sluice::worker {

PagePool::PagePool(int num_pages)
    : pages_(static_cast<size_t>(num_pages)), buckets_(std::bit_ceil(2 * pages_.size())) {
  free_.reserve(pages_.size());
  for (PageId page = kScratchPage + 1; page < num_pages; ++page) free_.push_back(page);
  // An ascending array already is a min-heap.
}

bool PagePool::Take(int n, std::vector<PageId>& out) {
  if (n > num_available()) return false;
  for (int i = 0; i < n; ++i) {
    PageId page = kScratchPage;
    if (free_.empty()) {
      page = EvictOldest();
    } else {
      std::pop_heap(free_.begin(), free_.end(), std::greater<>());
      page = free_.back();
      free_.pop_back();
    }
    at(page) = {.num_holders = 1, .state = State::kHeld};
    out.push_back(page);
  }
  return true;
}

void PagePool::Share(PageId page) {
  Page& shared = at(page);
  assert(shared.state != State::kFree);
  if (shared.state == State::kCached) Unlink(page);
  // Its place in retired_ is passed over when the step comes.
  if (shared.state == State::kRetired) --num_retired_;
  shared.state = State::kHeld;
  ++shared.num_holders;
}

void PagePool::Release(const std::vector<PageId>& pages, StepId last_step) {
  for (auto it = pages.rbegin(); it != pages.rend(); ++it) {
    Page& page = at(*it);
    assert(page.state == State::kHeld && page.num_holders > 0);
    page.last_step = std::max(page.last_step, last_step);
    if (--page.num_holders > 0) continue;
    if (page.last_step <= step_done_) {
      Settle(*it);
      continue;
    }
    page.state = State::kRetired;
    ++num_retired_;
    retired_[page.last_step].push_back(*it);
  }
}

void PagePool::NameInStep(PageId page, StepId step) {
  assert(at(page).state == State::kHeld);
  at(page).last_step = std::max(at(page).last_step, step);
}

void PagePool::SetStepDone(StepId step) {
  step_done_ = std::max(step_done_, step);
  while (!retired_.empty() && retired_.begin()->first <= step_done_) {
    for (PageId page : retired_.begin()->second) {
      // Held again since, or retired again with a later step.
      if (at(page).state != State::kRetired || at(page).last_step > step_done_) continue;
      --num_retired_;
      Settle(page);
    }
    retired_.erase(retired_.begin());
  }
}

bool PagePool::Publish(PageId page, const PrefixHash& hash) {
  Page& published = at(page);
  assert(published.state == State::kHeld);
  if (published.published || Find(hash)) return false;
  published.published = true;
  published.hash = hash;
  published.next_in_bucket = std::exchange(Bucket(hash), page);
  return true;
}

std::optional<PageId> PagePool::Find(const PrefixHash& hash) const {
  PageId page = buckets_[hash.low & (buckets_.size() - 1)];
  while (page != kScratchPage && !(at(page).hash == hash)) page = at(page).next_in_bucket;
  if (page == kScratchPage) return std::nullopt;
  return page;
}

void PagePool::Unpublish(PageId page) {
  PageId* link = &Bucket(at(page).hash);
  while (*link != page) link = &at(*link).next_in_bucket;
  *link = at(page).next_in_bucket;
}

void PagePool::Settle(PageId page) {
  if (at(page).published) {
    LinkNewest(page);
  } else {
    PushFree(page);
  }
}

void PagePool::PushFree(PageId page) {
  at(page) = {};
  free_.push_back(page);
  std::push_heap(free_.begin(), free_.end(), std::greater<>());
}

void PagePool::LinkNewest(PageId page) {
  Page& anchor = at(kScratchPage);
  at(page).state = State::kCached;
  at(page).older = anchor.older;
  at(page).newer = kScratchPage;
  at(anchor.older).newer = page;
  anchor.older = page;
  ++num_cached_;
}

void PagePool::Unlink(PageId page) {
  at(at(page).older).newer = at(page).newer;
  at(at(page).newer).older = at(page).older;
  --num_cached_;
}

PageId PagePool::EvictOldest() {
  const PageId page = at(kScratchPage).newer;
  assert(page != kScratchPage);
  Unlink(page);
  Unpublish(page);
  return page;
}

}  // namespace sluice::worker
