// SPDX-License-Identifier: Apache-2.0
#include "worker/scheduler/drafter.h"

#include <algorithm>
#include <cassert>

namespace sluice::worker {
namespace {

// A prompt is read over the steps that compute it: this many ids take some 0.2 ms.
constexpr int kMaxIdsReadAtOnce = 1024;
constexpr float kFirstShare = 0.5f;
constexpr float kLeastShare = 0.4f;
constexpr int kFirstLength = 2;
constexpr float kWeight = 1.0f / 8;

}  // namespace

Drafter::Drafter(int max_drafts)
    : max_drafts_(max_drafts),
      share_held_(kFirstShare),
      length_(std::min(max_drafts, kFirstLength)) {
  assert(max_drafts >= 1);
}

void Drafter::Read(std::span<const TokenId> ids) {
  if (num_read_ == 0) {
    if (lookup_.Read(ids, kMaxIdsReadAtOnce)) num_read_ = ids.size();
    return;
  }
  for (; num_read_ < ids.size(); ++num_read_) {
    const std::vector<TokenId> guess = lookup_.Guess(ids.first(num_read_), 1);
    if (!guess.empty()) {
      const float held = guess[0] == ids[num_read_] ? 1.0f : 0.0f;
      share_held_ += kWeight * (held - share_held_);
    }
    lookup_.Read(ids.first(num_read_ + 1), 1);
  }
}

std::vector<TokenId> Drafter::Draft(std::span<const TokenId> ids, int room) const {
  const int num_ids = std::min(length_, room);
  if (num_read_ != ids.size() || share_held_ < kLeastShare || num_ids <= 0) return {};
  return lookup_.Guess(ids, num_ids);
}

void Drafter::OnDrafted(int num_drafted, int num_accepted) {
  assert(num_drafted > 0 && num_accepted <= num_drafted);
  length_ = num_accepted < num_drafted ? num_accepted + 1
                                       : std::min(max_drafts_, std::max(length_, 2 * num_drafted));
}

}  // namespace sluice::worker
