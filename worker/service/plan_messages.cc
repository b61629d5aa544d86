// SPDX-License-Identifier: Apache-2.0
#include "worker/service/plan_messages.h"

namespace sluice::worker {

v1::StepPlan ToMessage(const StepPlan& plan) {
  v1::StepPlan message;
  message.set_step(plan.step);
  message.mutable_released_rows()->Add(plan.released_rows.begin(), plan.released_rows.end());
  for (const RowAdd& add : plan.added) {
    v1::RowAdd& out = *message.add_added();
    out.set_row(add.row);
    out.set_position(add.position);
  }
  for (const PagesAppend& append : plan.pages) {
    v1::PagesAppend& out = *message.add_pages();
    out.set_row(append.row);
    out.mutable_pages()->Add(append.pages.begin(), append.pages.end());
  }
  for (const PageCopy& copy : plan.page_copies) {
    v1::PageCopy& out = *message.add_page_copies();
    out.set_from(copy.from);
    out.set_to(copy.to);
  }
  for (const RowStep& row : plan.rows) {
    v1::RowStep& out = *message.add_rows();
    out.set_row(row.row);
    out.mutable_ids()->Add(row.ids.begin(), row.ids.end());
    out.set_sample(row.sample);
    out.mutable_drafts()->Add(row.drafts.begin(), row.drafts.end());
    out.set_num_prompt_logprobs(row.num_prompt_logprobs);
  }
  return message;
}

StepPlan FromMessage(const v1::StepPlan& message) {
  StepPlan plan;
  plan.step = message.step();
  plan.released_rows.assign(message.released_rows().begin(), message.released_rows().end());
  for (const v1::RowAdd& add : message.added()) {
    plan.added.push_back({.row = add.row(), .position = add.position(), .sampling = nullptr});
  }
  for (const v1::PagesAppend& append : message.pages()) {
    plan.pages.push_back({append.row(), {append.pages().begin(), append.pages().end()}});
  }
  for (const v1::PageCopy& copy : message.page_copies()) {
    plan.page_copies.push_back({.from = copy.from(), .to = copy.to()});
  }
  for (const v1::RowStep& row : message.rows()) {
    plan.rows.push_back({.row = row.row(),
                         .ids = {row.ids().begin(), row.ids().end()},
                         .sample = row.sample(),
                         .drafts = {row.drafts().begin(), row.drafts().end()},
                         .num_prompt_logprobs = row.num_prompt_logprobs()});
  }
  return plan;
}

}  // namespace sluice::worker
