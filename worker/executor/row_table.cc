// SPDX-License-Identifier: Apache-2.0
#include "worker/executor/row_table.h"

#include "absl/strings/str_cat.h"
#include "proto/wire/status_macros.h"

namespace sluice::worker {
namespace {

template <typename... Args>
absl::Status Contradiction(const Args&... args) {
  return absl::InternalError(absl::StrCat("the step plan contradicts the row table: ", args...));
}

}  // namespace

RowTable::RowTable(const RowTableLimits& limits)
    : limits_(limits), rows_(static_cast<size_t>(limits.max_rows)) {}

RowTable::Row* RowTable::Find(RowId row) {
  if (row < 0 || row >= limits_.max_rows || !rows_[static_cast<size_t>(row)].used) return nullptr;
  return &rows_[static_cast<size_t>(row)];
}

absl::Status RowTable::Apply(const StepPlan& plan, StepBatch* batch) {
  *batch = StepBatch();
  stepped_.assign(rows_.size(), false);
  for (const RowId row : plan.released_rows) SLUICE_RETURN_IF_ERROR(Release(row));
  for (const RowAdd& add : plan.added) SLUICE_RETURN_IF_ERROR(Add(add));
  for (const PagesAppend& append : plan.pages) SLUICE_RETURN_IF_ERROR(AppendPages(append));
  for (const PageCopy& copy : plan.page_copies) SLUICE_RETURN_IF_ERROR(Check(copy));
  for (const RowStep& step : plan.rows) SLUICE_RETURN_IF_ERROR(Advance(step, batch));
  return absl::OkStatus();
}

absl::Status RowTable::Release(RowId row) {
  Row* found = Find(row);
  if (found == nullptr) return Contradiction("row ", row, " is released but not in use");
  *found = Row();
  return absl::OkStatus();
}

absl::Status RowTable::Add(const RowAdd& add) {
  if (add.row < 0 || add.row >= limits_.max_rows || Find(add.row) != nullptr) {
    return Contradiction("row ", add.row, " is added but in use, or not below ", limits_.max_rows);
  }
  if (add.position < 0) return Contradiction("row ", add.row, " begins at ", add.position);
  Row& row = rows_[static_cast<size_t>(add.row)];
  row.used = true;
  row.position = add.position;
  row.sampling = add.sampling;
  return absl::OkStatus();
}

absl::Status RowTable::AppendPages(const PagesAppend& append) {
  Row* row = Find(append.row);
  if (row == nullptr) return Contradiction("pages for row ", append.row, ", which is not in use");
  for (const PageId page : append.pages) {
    if (page < 0 || page >= limits_.num_pages) {
      return Contradiction("page ", page, " of row ", append.row, " is not below ",
                           limits_.num_pages);
    }
    row->pages.push_back(page);
  }
  return absl::OkStatus();
}

absl::Status RowTable::Check(const PageCopy& copy) const {
  const auto valid = [&](PageId page) { return page > kScratchPage && page < limits_.num_pages; };
  if (valid(copy.from) && valid(copy.to) && copy.from != copy.to) return absl::OkStatus();
  return Contradiction("page ", copy.from, " is copied to page ", copy.to);
}

absl::Status RowTable::Advance(const RowStep& step, StepBatch* batch) {
  Row* row = Find(step.row);
  if (row == nullptr) return Contradiction("a step of row ", step.row, ", which is not in use");
  // Sampling and workspaces have one place a row.
  if (stepped_[static_cast<size_t>(step.row)]) {
    return Contradiction("row ", step.row, " has two steps");
  }
  stepped_[static_cast<size_t>(step.row)] = true;
  const int tokens = step.num_tokens();
  if (batch->ids.size() + static_cast<size_t>(tokens) >
      static_cast<size_t>(limits_.max_batched_tokens)) {
    return Contradiction("it has more than ", limits_.max_batched_tokens, " tokens");
  }
  if (!step.drafts.empty() && (!step.ids.empty() || !step.sample)) {
    return Contradiction("row ", step.row, " has drafts, but known ids or no sample");
  }
  const int64_t end = int64_t{row->position} + tokens;
  if (end > static_cast<int64_t>(row->pages.size()) * kPageTokens) {
    return Contradiction("row ", step.row, " reaches position ", end, " with ", row->pages.size(),
                         " pages");
  }
  if (step.num_prompt_logprobs < 0 ||
      step.num_prompt_logprobs > static_cast<int>(step.ids.size())) {
    return Contradiction("row ", step.row, " scores ", step.num_prompt_logprobs, " of ",
                         step.ids.size(), " ids");
  }
  if (step.num_prompt_logprobs > 0) {
    batch->scored.push_back({.row = step.row,
                             .first_token = static_cast<int32_t>(batch->ids.size()),
                             .num_tokens = step.num_prompt_logprobs,
                             .position = row->position});
  }
  if (step.ids.empty() && !row->sampled) {
    return Contradiction("row ", step.row, " goes on from an id, but none was sampled");
  }
  batch->runs.push_back({.row = step.row,
                         .first_token = static_cast<int32_t>(batch->ids.size()),
                         .num_tokens = tokens,
                         .position = row->position});
  const int num_drafts = static_cast<int>(step.drafts.size());
  for (int i = 0; i < tokens; ++i) {
    const bool sampled_last = step.ids.empty() && i == 0;
    const TokenId id = sampled_last       ? kSampledLast
                       : step.ids.empty() ? step.drafts[static_cast<size_t>(i - 1)]
                                          : step.ids[static_cast<size_t>(i)];
    if ((id < 0 || id >= limits_.vocab_size) && !sampled_last) {
      return Contradiction("row ", step.row, " has the id ", id, " at position ", row->position);
    }
    batch->ids.push_back(id);
    batch->positions.push_back(row->position);
    ++row->position;
  }
  if (step.sample) {
    row->sampled = true;
    batch->sampled_rows.push_back({.row = step.row,
                                   .first_logits = static_cast<int>(batch->logits_of.size()),
                                   .drafts = step.drafts});
    const auto first = static_cast<int32_t>(batch->ids.size()) - 1 - num_drafts;
    for (int i = 0; i <= num_drafts; ++i) batch->logits_of.push_back(first + i);
  }
  // Until AcceptDrafts the row stands where the drafts begin.
  row->position -= num_drafts;
  return absl::OkStatus();
}

void RowTable::AcceptDrafts(RowId row, int num_accepted) {
  rows_[static_cast<size_t>(row)].position += num_accepted;
}

}  // namespace sluice::worker
