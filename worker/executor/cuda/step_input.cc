// SPDX-License-Identifier: Apache-2.0
#include "worker/executor/cuda/step_input.h"

#include <algorithm>
#include <cstring>
#include <map>

namespace sluice::worker {
namespace {

using kernels::attention::kPrefillTileTokens;
using kernels::attention::PageTableEntry;
using kernels::attention::PrefillTile;

constexpr int64_t kAlignment = 16;

template <typename T>
std::span<T> ArrayAt(std::byte* base, int64_t offset, int length) {
  return {reinterpret_cast<T*>(base + offset), static_cast<size_t>(length)};
}

int PagesSeen(const PrefillTile& tile) {
  return (tile.first_position + tile.num_tokens + kPageTokens - 1) / kPageTokens;
}

}  // namespace

StepLayout::StepLayout(const StepShape& shape) {
  const auto place = [this](int length, int64_t element_bytes) {
    const int64_t offset = bytes;
    bytes = (offset + length * element_bytes + kAlignment - 1) / kAlignment * kAlignment;
    return offset;
  };
  ids = place(shape.tokens, sizeof(int32_t));
  positions = place(shape.tokens, sizeof(int32_t));
  slots = place(shape.tokens, sizeof(int32_t));
  decode_rows = place(shape.decodes, sizeof(int32_t));
  decode_lengths = place(shape.decodes, sizeof(int32_t));
  tiles = place(shape.tiles, sizeof(PrefillTile));
  logits_tokens = place(shape.logits, sizeof(int32_t));
  logits_rows = place(shape.logits, sizeof(int32_t));
  run_indices = place(shape.logits, sizeof(int32_t));
  next_drafts = place(shape.logits, sizeof(int32_t));
}

StepInput::StepInput(const StepBatch& batch, const RowTable& table)
    : batch_(batch), table_(table), first_of_run_(batch.runs.size()) {
  for (const bool decodes : {true, false}) {
    for (size_t run = 0; run < batch.runs.size(); ++run) {
      if ((batch.runs[run].num_tokens == 1) != decodes) continue;
      run_order_.push_back(static_cast<int32_t>(run));
      first_of_run_[run] = shape_.tokens;
      shape_.tokens += batch.runs[run].num_tokens;
    }
    if (decodes) shape_.decodes = shape_.tokens;
  }
  for (const int32_t index : run_order_) {
    const StepBatch::Run& run = batch.runs[static_cast<size_t>(index)];
    if (run.num_tokens == 1) continue;
    for (int32_t done = 0; done < run.num_tokens; done += kPrefillTileTokens) {
      tiles_.push_back({.row = run.row,
                        .first_token = first_of_run_[static_cast<size_t>(index)] + done,
                        .num_tokens = std::min(kPrefillTileTokens, run.num_tokens - done),
                        .first_position = run.position + done});
    }
  }
  std::stable_sort(tiles_.begin(), tiles_.end(), [](const PrefillTile& a, const PrefillTile& b) {
    return PagesSeen(a) > PagesSeen(b);
  });
  shape_.tiles = static_cast<int>(tiles_.size());
  for (const PrefillTile& tile : tiles_) {
    shape_.tile_slots = std::max(shape_.tile_slots, tile.first_position + tile.num_tokens);
  }
  shape_.logits = static_cast<int>(batch.logits_of.size());

  // Runs lie in order in the batch, so the run of a token is found by its first token.
  const auto new_index = [&](int32_t token) {
    const auto after = std::upper_bound(
        batch.runs.begin(), batch.runs.end(), token,
        [](int32_t value, const StepBatch::Run& run) { return value < run.first_token; });
    const auto run = static_cast<size_t>(after - batch.runs.begin()) - 1;
    return first_of_run_[run] + token - batch.runs[run].first_token;
  };
  new_token_.reserve(batch.logits_of.size());
  for (const int32_t token : batch.logits_of) new_token_.push_back(new_index(token));
  for (const StepBatch::Scored& scored : batch.scored) {
    scored_.push_back({new_index(scored.first_token), scored.num_tokens});
  }
  only_decodes_ = shape_.decodes == shape_.tokens && shape_.logits == shape_.tokens;
}

void StepInput::Pack(const StepShape& shape, std::byte* to) const {
  const StepLayout layout(shape);
  std::memset(to, 0, static_cast<size_t>(layout.bytes));
  std::ranges::fill(ArrayAt<int32_t>(to, layout.logits_rows, shape.logits), -1);
  std::ranges::fill(ArrayAt<int32_t>(to, layout.next_drafts, shape.logits), -1);
  PackTokens(layout, to);
  std::ranges::copy(tiles_, ArrayAt<PrefillTile>(to, layout.tiles, shape_.tiles).begin());
  PackLogits(layout, to);
}

void StepInput::PackTokens(const StepLayout& layout, std::byte* to) const {
  const auto ids = ArrayAt<int32_t>(to, layout.ids, shape_.tokens);
  const auto positions = ArrayAt<int32_t>(to, layout.positions, shape_.tokens);
  const auto slots = ArrayAt<int32_t>(to, layout.slots, shape_.tokens);
  const auto decode_rows = ArrayAt<int32_t>(to, layout.decode_rows, shape_.decodes);
  const auto decode_lengths = ArrayAt<int32_t>(to, layout.decode_lengths, shape_.decodes);
  size_t next = 0;
  for (const int32_t index : run_order_) {
    const StepBatch::Run& run = batch_.runs[static_cast<size_t>(index)];
    const std::vector<PageId>& pages = table_.row(run.row).pages;
    if (run.num_tokens == 1) {
      decode_rows[next] = run.row;
      decode_lengths[next] = run.position + 1;
    }
    for (int32_t i = 0; i < run.num_tokens; ++i, ++next) {
      const TokenId id = batch_.ids[static_cast<size_t>(run.first_token + i)];
      const int32_t position = run.position + i;
      ids[next] = id == kSampledLast ? -1 - run.row : id;
      positions[next] = position;
      slots[next] =
          pages[static_cast<size_t>(position / kPageTokens)] * kPageTokens + position % kPageTokens;
    }
  }
}

void StepInput::PackLogits(const StepLayout& layout, std::byte* to) const {
  const auto tokens = ArrayAt<int32_t>(to, layout.logits_tokens, shape_.logits);
  const auto rows = ArrayAt<int32_t>(to, layout.logits_rows, shape_.logits);
  const auto indices = ArrayAt<int32_t>(to, layout.run_indices, shape_.logits);
  const auto drafts = ArrayAt<int32_t>(to, layout.next_drafts, shape_.logits);
  std::ranges::copy(new_token_, tokens.begin());
  for (const StepBatch::SampledRow& sampled : batch_.sampled_rows) {
    const auto first = static_cast<size_t>(sampled.first_logits);
    for (size_t i = 0; i < static_cast<size_t>(sampled.num_logits()); ++i) {
      rows[first + i] = sampled.row;
      indices[first + i] = static_cast<int32_t>(i);
      if (i < sampled.drafts.size()) drafts[first + i] = sampled.drafts[i];
    }
  }
}

std::vector<PageTableEntry> PageTableEntries(const StepPlan& plan, const RowTable& table) {
  std::vector<PageTableEntry> entries;
  // Backwards, since what the table holds now is where the last append ended.
  std::map<RowId, size_t> end;
  for (auto append = plan.pages.rbegin(); append != plan.pages.rend(); ++append) {
    const auto [place, is_new] = end.try_emplace(append->row, table.row(append->row).pages.size());
    place->second -= append->pages.size();
    for (size_t i = 0; i < append->pages.size(); ++i) {
      entries.push_back({.row = append->row,
                         .index = static_cast<int32_t>(place->second + i),
                         .page = append->pages[i]});
    }
  }
  return entries;
}

}  // namespace sluice::worker
