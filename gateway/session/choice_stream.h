// SPDX-License-Identifier: Apache-2.0
// ChoiceStream: one choice's way from ids to deltas: detokenize, match stop strings, split thinking
// and tool calls, keep log probabilities beside their text. Works id by id, so the joined deltas do
// not depend on how the ids were cut into chunks. Owned by a session, called under its lock; not
// thread safe.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "gateway/backend/worker_client.h"
#include "gateway/chat/output_parser.h"
#include "gateway/openai/delta.h"
#include "gateway/session/control_tokens.h"
#include "gateway/session/logprob_ledger.h"
#include "gateway/session/stop_matcher.h"
#include "gateway/tokenizer/incremental_detokenizer.h"
#include "gateway/tokenizer/tokenizer.h"

namespace sluice::gateway {

struct ChoiceStreamOptions {
  const Tokenizer* tokenizer = nullptr;  // outlives the stream
  ControlTokens control;
  OutputParserOptions parser;
  bool parallel_tool_calls = true;  // false: only the first call is given out
  std::vector<std::string> stop;
  bool include_stop = false;  // stop strings and stop ids are part of the output
  int min_tokens = 0;
  bool skip_special_tokens = true;
  bool logprobs = false;
  bool discard_output = false;  // max_tokens 0: the worker's one id is neither shown nor counted
  std::vector<TokenId> stop_token_ids;  // the request's own: reported as stop_reason
  uint64_t call_id_seed = 0;            // makes the ids of tool calls
};

class ChoiceStream {
 public:
  ChoiceStream(int choice, const ChoiceStreamOptions& options);

  // Appends the deltas that a chunk brings. Ignored once the choice has ended.
  void Append(const TokenChunk& chunk, std::vector<ChoiceDelta>& deltas);

  bool ended() const { return ended_; }
  // A stop string ended the choice, and the worker does not know it yet: see
  // GenerateCall::StopChoice.
  bool stopped_by_string() const { return stopped_by_string_; }
  int completion_tokens() const { return completion_tokens_; }
  int reasoning_tokens() const { return parser_.reasoning_tokens(); }

 private:
  void AppendId(TokenId id, const TokenLogprobs* logprobs, bool is_hidden_stop,
                std::vector<ChoiceDelta>& deltas);
  bool Feed(OutputPiece piece, std::vector<ChoiceDelta>& deltas);
  void Deliver(std::vector<OutputPiece> pieces, std::vector<ChoiceDelta>& deltas);
  void AddEvents(std::vector<OutputEvent> events, std::vector<ChoiceDelta>& deltas);
  void AddEvent(OutputEvent event, std::vector<ChoiceDelta>& deltas);
  void End(ChoiceEnd end, std::vector<ChoiceDelta>& deltas);
  void EndByWorker(const TokenChunk& chunk, std::vector<ChoiceDelta>& deltas);
  void AttachLogprobs(std::vector<ChoiceDelta>& deltas);
  ChoiceDelta NewDelta() const;
  PieceKind KindOf(TokenId id) const;
  std::string CallId(int index) const;

  const int choice_;
  const ChoiceStreamOptions options_;
  IncrementalDetokenizer detokenizer_;
  StopMatcher matcher_;
  OutputParser parser_;
  LogprobLedger ledger_;
  std::vector<LogprobEntry> ready_logprobs_;  // for the next delta
  OutputKind last_kind_ = OutputKind::kContent;
  int completion_tokens_ = 0;
  bool ended_ = false;
  bool stopped_by_string_ = false;
};

}  // namespace sluice::gateway
