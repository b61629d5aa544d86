// SPDX-License-Identifier: Apache-2.0
#include "worker/scheduler/drafter.h"

#include <algorithm>
#include <cassert>

namespace sluice::worker {
namespace {

// A prompt is read over the steps that compute it: this many ids cost a step some 0.1 ms.
constexpr int kMaxIdsReadAtOnce = 2048;
constexpr int kPatience = 2;
constexpr int kFirstPause = 16;
constexpr int kLongestPause = 256;

}  // namespace

Drafter::Drafter(int max_drafts)
    : max_drafts_(max_drafts), length_(std::max(1, max_drafts / 2)) {
  assert(max_drafts >= 1);
}

void Drafter::Read(std::span<const TokenId> ids) {
  has_read_all_ = lookup_.Read(ids, kMaxIdsReadAtOnce);
}

std::vector<TokenId> Drafter::Draft(std::span<const TokenId> ids, int room) const {
  const int num_ids = std::min(length_, room);
  if (!has_read_all_ || pause_ > 0 || num_ids <= 0) return {};
  return lookup_.Guess(ids, num_ids);
}

void Drafter::OnStep(int num_drafted, int num_accepted) {
  assert(num_accepted <= num_drafted);
  if (num_drafted == 0) {
    pause_ = std::max(0, pause_ - 1);
    return;
  }
  length_ = num_accepted < num_drafted ? num_accepted + 1
                                       : std::min(max_drafts_, std::max(length_, 2 * num_drafted));
  if (num_accepted > 0) {
    num_failures_ = 0;
    return;
  }
  ++num_failures_;
  if (num_failures_ < kPatience) return;
  const int doublings = std::min(num_failures_ - kPatience, 8);
  pause_ = std::min(kFirstPause << doublings, kLongestPause);
}

}  // namespace sluice::worker
