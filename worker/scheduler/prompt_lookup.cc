// SPDX-License-Identifier: Apache-2.0
#include "worker/scheduler/prompt_lookup.h"

#include <algorithm>
#include <cassert>
#include <random>

namespace sluice::worker {
namespace {

constexpr size_t kFirstSlots = 64;
constexpr int32_t kFree = -1;

// Prompts are chosen by whoever sends them: with a hash known to all, they could be made to fall
// into one place of the table, and reading one would hold up every other sequence.
uint64_t Seed() {
  static const uint64_t seed = [] {
    std::random_device device;
    return (uint64_t{device()} << 32) | device();
  }();
  return seed;
}

uint64_t Hash(std::span<const TokenId> ngram) {
  uint64_t hash = Seed();
  for (const TokenId id : ngram) {
    hash = (hash ^ static_cast<uint32_t>(id)) * 0xff51afd7ed558ccdull;
    hash ^= hash >> 32;
  }
  return hash;
}

std::span<const TokenId> NgramAt(std::span<const TokenId> ids, int32_t end, int n) {
  return ids.subspan(static_cast<size_t>(end + 1 - n), static_cast<size_t>(n));
}

}  // namespace

PromptLookup::PromptLookup(PromptLookupOptions options) {
  assert(options.min_ngram >= 1 && options.min_ngram <= options.max_ngram);
  for (int n = options.max_ngram; n >= options.min_ngram; --n) {
    tables_.push_back({.n = n, .num_used = 0, .slots = std::vector(kFirstSlots, kFree)});
  }
}

bool PromptLookup::Read(std::span<const TokenId> ids, int max_ids) {
  const int32_t last = static_cast<int32_t>(ids.size()) - 1;
  const int32_t end = std::min(last, num_read_ + max_ids);
  for (; num_read_ < end; ++num_read_) {
    for (Table& table : tables_) {
      if (num_read_ + 1 >= table.n) table.Insert(ids, num_read_);
    }
  }
  return num_read_ >= last;
}

std::vector<TokenId> PromptLookup::Guess(std::span<const TokenId> ids, int num_ids) const {
  const int32_t last = static_cast<int32_t>(ids.size()) - 1;
  assert(num_read_ >= last);
  std::vector<TokenId> guess;
  for (const Table& table : tables_) {
    if (last + 1 < table.n) continue;
    const int32_t place = table.slots[table.Find(ids, last)];
    if (place == kFree) continue;
    guess.reserve(static_cast<size_t>(num_ids));
    auto next = static_cast<size_t>(place) + 1;
    for (int i = 0; i < num_ids; ++i, ++next) {
      guess.push_back(next < ids.size() ? ids[next] : guess[next - ids.size()]);
    }
    return guess;
  }
  return guess;
}

size_t PromptLookup::memory_bytes() const {
  size_t bytes = 0;
  for (const Table& table : tables_) bytes += table.slots.capacity() * sizeof(int32_t);
  return bytes;
}

size_t PromptLookup::Table::Find(std::span<const TokenId> ids, int32_t end) const {
  const std::span<const TokenId> ngram = NgramAt(ids, end, n);
  const size_t mask = slots.size() - 1;
  for (size_t slot = Hash(ngram) & mask;; slot = (slot + 1) & mask) {
    if (slots[slot] == kFree || std::ranges::equal(ngram, NgramAt(ids, slots[slot], n))) {
      return slot;
    }
  }
}

void PromptLookup::Table::Insert(std::span<const TokenId> ids, int32_t end) {
  const size_t slot = Find(ids, end);
  const bool is_new = slots[slot] == kFree;
  slots[slot] = end;
  if (is_new && ++num_used * 2 > slots.size()) Grow(ids);
}

void PromptLookup::Table::Grow(std::span<const TokenId> ids) {
  const std::vector<int32_t> old = std::move(slots);
  slots.assign(old.size() * 2, kFree);
  for (const int32_t end : old) {
    if (end != kFree) slots[Find(ids, end)] = end;
  }
}

}  // namespace sluice::worker
