// SPDX-License-Identifier: Apache-2.0
#include "gateway/session/choice_stream.h"

#include <algorithm>
#include <iterator>
#include <string_view>
#include <utility>

#include "gateway/session/logprob_entry.h"
#include "gateway/session/random_ids.h"

namespace sluice::gateway {

ChoiceStream::ChoiceStream(int choice, const ChoiceStreamOptions& options)
    : choice_(choice),
      options_(options),
      detokenizer_(*options.tokenizer, options.skip_special_tokens),
      matcher_(options.stop, options.include_stop),
      parser_(options.parser) {}

void ChoiceStream::Append(const TokenChunk& chunk, std::vector<ChoiceDelta>& deltas) {
  if (options_.discard_output) {
    const bool over = chunk.finish == FinishReason::kStop || chunk.finish == FinishReason::kLength;
    if (over && !ended_) End(ChoiceEnd::kLength, deltas);
    return;
  }
  const bool ended_by_id = chunk.finish == FinishReason::kStop && chunk.stop_id.has_value();
  for (size_t i = 0; i < chunk.ids.size() && !ended_; ++i) {
    const bool is_stop = ended_by_id && i + 1 == chunk.ids.size() && chunk.ids[i] == *chunk.stop_id;
    const bool has_logprobs = options_.logprobs && i < chunk.logprobs.size();
    AppendId(chunk.ids[i], has_logprobs ? &chunk.logprobs[i] : nullptr,
             is_stop && !options_.include_stop, deltas);
  }
  if (chunk.finish == FinishReason::kNone) return;
  stopped_by_string_ = false;  // the worker is done with this choice
  if (!ended_) EndByWorker(chunk, deltas);
}

void ChoiceStream::AppendId(TokenId id, const TokenLogprobs* logprobs, bool is_hidden_stop,
                            std::vector<ChoiceDelta>& deltas) {
  ++completion_tokens_;
  std::string text = is_hidden_stop ? std::string() : detokenizer_.Append(id);
  const bool visible =
      !is_hidden_stop && !(options_.skip_special_tokens && options_.tokenizer->IsSpecial(id));
  if (logprobs != nullptr) {
    ledger_.Add(MakeLogprobEntry(*options_.tokenizer, id, *logprobs), visible, text.size(),
                detokenizer_.pending_bytes());
  }
  if (is_hidden_stop) return;
  const PieceKind kind = KindOf(id);
  if (kind == PieceKind::kText) {
    Feed({kind, std::move(text), 1}, deltas);
    return;
  }
  // In front of a control token's own text stands what an unfinished character was replaced by.
  const size_t own = visible ? options_.tokenizer->TokenBytes(id).value_or("").size() : 0;
  const size_t before = text.size() - std::min(own, text.size());
  if (before > 0 && Feed({PieceKind::kText, text.substr(0, before), 0}, deltas)) return;
  Feed({kind, text.substr(before), 1}, deltas);
}

bool ChoiceStream::Feed(OutputPiece piece, std::vector<ChoiceDelta>& deltas) {
  std::vector<OutputPiece> released;
  const bool may_match = completion_tokens_ > options_.min_tokens;
  const auto matched = matcher_.Append(std::move(piece), may_match, released);
  Deliver(std::move(released), deltas);
  if (!matched) return false;
  stopped_by_string_ = true;
  AddEvents(parser_.Finish(/*truncated=*/true), deltas);
  End(ChoiceEnd::kStop, deltas);
  deltas.back().stop_reason = *matched;
  return true;
}

void ChoiceStream::Deliver(std::vector<OutputPiece> pieces, std::vector<ChoiceDelta>& deltas) {
  for (OutputPiece& piece : pieces) AddEvents(parser_.Append(piece), deltas);
  if (!options_.logprobs) return;
  ledger_.Release(matcher_.released_bytes(), ready_logprobs_);
  AttachLogprobs(deltas);
}

void ChoiceStream::EndByWorker(const TokenChunk& chunk, std::vector<ChoiceDelta>& deltas) {
  if (chunk.finish == FinishReason::kCancelled) return;  // the call's status tells the rest
  if (std::string tail = detokenizer_.Flush(); !tail.empty()) {
    ledger_.AddFlushed(tail.size());
    if (Feed({PieceKind::kText, std::move(tail), 0}, deltas)) {
      stopped_by_string_ = false;
      return;
    }
  }
  std::vector<OutputPiece> released;
  matcher_.Flush(released);
  Deliver(std::move(released), deltas);
  const bool truncated = chunk.finish == FinishReason::kLength;
  AddEvents(parser_.Finish(truncated), deltas);
  End(truncated ? ChoiceEnd::kLength : ChoiceEnd::kStop, deltas);
  const auto& own = options_.stop_token_ids;
  if (chunk.stop_id && std::find(own.begin(), own.end(), *chunk.stop_id) != own.end()) {
    deltas.back().stop_reason = *chunk.stop_id;
  }
}

void ChoiceStream::End(ChoiceEnd end, std::vector<ChoiceDelta>& deltas) {
  ended_ = true;
  if (deltas.empty()) deltas.push_back(NewDelta());
  ledger_.Close(matcher_.released_bytes(), ready_logprobs_);
  AttachLogprobs(deltas);
  ChoiceDelta& last = deltas.back();
  last.completion_tokens = completion_tokens_;
  last.reasoning_tokens = reasoning_tokens();
  last.end = end == ChoiceEnd::kStop && parser_.has_complete_calls() ? ChoiceEnd::kToolCalls : end;
}

void ChoiceStream::AddEvents(std::vector<OutputEvent> events, std::vector<ChoiceDelta>& deltas) {
  for (OutputEvent& event : events) AddEvent(std::move(event), deltas);
}

void ChoiceStream::AddEvent(OutputEvent event, std::vector<ChoiceDelta>& deltas) {
  const bool of_call =
      event.kind == OutputKind::kToolCallStart || event.kind == OutputKind::kToolCallArguments;
  if (of_call && event.call_index > 0 && !options_.parallel_tool_calls) return;
  // A delta is of one kind, so that what came first is first for every client.
  if (deltas.empty() || event.kind != last_kind_ || event.kind == OutputKind::kToolCallStart) {
    deltas.push_back(NewDelta());
  }
  last_kind_ = event.kind;
  ChoiceDelta& delta = deltas.back();
  delta.completion_tokens = completion_tokens_;
  delta.reasoning_tokens = reasoning_tokens();
  switch (event.kind) {
    case OutputKind::kReasoning:
      delta.reasoning += event.text;
      break;
    case OutputKind::kContent:
      delta.content += event.text;
      break;
    case OutputKind::kToolCallStart:
      delta.tool_calls.push_back(
          {event.call_index, CallId(event.call_index), std::move(event.text), ""});
      break;
    case OutputKind::kToolCallArguments:
      if (delta.tool_calls.empty()) delta.tool_calls.push_back({event.call_index, "", "", ""});
      delta.tool_calls.back().arguments += event.text;
      break;
  }
}

void ChoiceStream::AttachLogprobs(std::vector<ChoiceDelta>& deltas) {
  if (deltas.empty() || ready_logprobs_.empty()) return;
  std::vector<LogprobEntry>& entries = deltas.back().logprobs;
  std::move(ready_logprobs_.begin(), ready_logprobs_.end(), std::back_inserter(entries));
  ready_logprobs_.clear();
}

ChoiceDelta ChoiceStream::NewDelta() const {
  ChoiceDelta delta;
  delta.choice = choice_;
  delta.completion_tokens = completion_tokens_;
  delta.reasoning_tokens = reasoning_tokens();
  return delta;
}

PieceKind ChoiceStream::KindOf(TokenId id) const {
  const ControlTokens& control = options_.control;
  if (control.think_open == id) return PieceKind::kThinkOpen;
  if (control.think_close == id) return PieceKind::kThinkClose;
  if (control.tool_call_open == id) return PieceKind::kToolCallOpen;
  if (control.tool_call_close == id) return PieceKind::kToolCallClose;
  return PieceKind::kText;
}

std::string ChoiceStream::CallId(int index) const {
  const auto key = (static_cast<uint64_t>(choice_) << 32) | static_cast<uint64_t>(index);
  return "call_" + HexId(options_.call_id_seed ^ key, 24);
}

}  // namespace sluice::gateway
