// SPDX-License-Identifier: Apache-2.0
// PagePool: who holds which KV page, and which pages can be found by what they contain. Pages are
// numbers here; the memory behind them belongs to the executors.
//
// A page is held by any number of sequences. When the last one lets go, ranks may still run steps
// that name the page, so it is retired together with the last such step until every rank has
// reported it. Then it is free, or, when its content was published, cached: it can be found and
// held again, and is evicted only when a page is needed and none is free, least recently used
// first. A page that can be found is never written again: who publishes it promises that.
//
// Being findable and being reusable change together, so one class has both. Owned by the scheduler;
// one thread.
#pragma once

#include <map>
#include <optional>
#include <vector>

#include "worker/base/ids.h"
#include "worker/cache/prefix_hash.h"

namespace sluice::worker {

// Pages that hold this many tokens.
constexpr int PagesFor(int num_tokens) { return (num_tokens + kPageTokens - 1) / kPageTokens; }

class PagePool {
 public:
  // num_pages counts page 0, which is scratch and never handed out. REQUIRES: num_pages >= 2.
  explicit PagePool(int num_pages);

  // Appends n pages to out and holds them once, or does nothing and returns false. Free pages go
  // first, lowest numbers first; then cached ones, which are forgotten.
  bool Take(int n, std::vector<PageId>& out);

  // One more holder. REQUIRES: the page is held, or Find returned it and nothing was taken since.
  void Share(PageId page);

  // One holder fewer of each page; pages are in order of position. last_step: the last step in
  // which this holder's row was named; 0: none. The tail of a prefix is evicted before its head.
  void Release(const std::vector<PageId>& pages, StepId last_step);

  // A step names a held page otherwise than through a holder's row: a copy reads it.
  void NameInStep(PageId page, StepId step);

  // Every rank has finished all steps up to this one. Never goes back.
  void SetStepDone(StepId step);

  // The content of a held page is final and can be found from now on. False: another page with this
  // content is there already, and this one stays unknown.
  bool Publish(PageId page, const PrefixHash& hash);

  std::optional<PageId> Find(const PrefixHash& hash) const;

  int num_holders(PageId page) const { return at(page).num_holders; }
  // Nobody holds it, and Take may evict it.
  bool cached(PageId page) const { return at(page).state == State::kCached; }

  int num_total() const { return static_cast<int>(pages_.size()) - 1; }
  // What Take can hand out now.
  int num_available() const { return static_cast<int>(free_.size()) + num_cached_; }
  int num_cached() const { return num_cached_; }
  int num_retired() const { return num_retired_; }
  // Held by sequences.
  int num_used() const { return num_total() - num_available() - num_retired_; }

 private:
  enum class State : uint8_t { kFree, kHeld, kRetired, kCached };
  struct Page {
    int num_holders = 0;
    State state = State::kFree;
    bool published = false;
    StepId last_step = 0;  // that names it
    PrefixHash hash{};     // when published
    // Neighbours in the order of eviction, while cached.
    PageId older = kScratchPage;
    PageId newer = kScratchPage;
    PageId next_in_bucket = kScratchPage;  // while published
  };

  Page& at(PageId page) { return pages_[static_cast<size_t>(page)]; }
  const Page& at(PageId page) const { return pages_[static_cast<size_t>(page)]; }
  // The head of the list of published pages whose hashes have these low bits.
  PageId& Bucket(const PrefixHash& hash) { return buckets_[hash.low & (buckets_.size() - 1)]; }
  void Unpublish(PageId page);
  // Nobody holds the page and no step names it any more.
  void Settle(PageId page);
  void PushFree(PageId page);
  void LinkNewest(PageId page);
  void Unlink(PageId page);
  PageId EvictOldest();

  // pages_[kScratchPage] is the anchor of the ring of cached pages: newer is the oldest, older the
  // newest.
  std::vector<Page> pages_;
  std::vector<PageId> free_;  // min-heap: low numbers first keep the touched memory small
  std::map<StepId, std::vector<PageId>> retired_;
  std::vector<PageId> buckets_;  // a power of two; hashes are random, so lists stay short
  int num_cached_ = 0;
  int num_retired_ = 0;
  StepId step_done_ = 0;
};

}  // namespace sluice::worker
