// SPDX-License-Identifier: Apache-2.0
#include "gateway/session/stop_matcher.h"

#include <algorithm>
#include <utility>

namespace sluice::gateway {

StopMatcher::StopMatcher(std::vector<std::string> stops, bool include_in_output)
    : include_in_output_(include_in_output) {
  for (std::string& text : stops) {
    Stop stop;
    stop.fallback.assign(text.size() + 1, 0);
    size_t border = 0;
    for (size_t i = 1; i < text.size(); ++i) {
      while (border > 0 && text[i] != text[border]) border = stop.fallback[border];
      if (text[i] == text[border]) ++border;
      stop.fallback[i + 1] = border;
    }
    stop.text = std::move(text);
    stops_.push_back(std::move(stop));
  }
}

std::optional<std::string> StopMatcher::Append(OutputPiece piece, bool may_match,
                                               std::vector<OutputPiece>& released) {
  if (stops_.empty()) {
    released_bytes_ += piece.text.size();
    released.push_back(std::move(piece));
    return std::nullopt;
  }
  const size_t before = held_bytes_;
  held_bytes_ += piece.text.size();
  held_.push_back(std::move(piece));
  const std::string& text = held_.back().text;
  for (size_t i = 0; i < text.size(); ++i) {
    const Stop* stop = Advance(text[i]);
    if (stop == nullptr || !may_match) continue;
    const size_t end = before + i + 1;
    std::string matched = stop->text;
    Release(include_in_output_ ? end : end - matched.size(), /*cut=*/true, released);
    held_.clear();
    held_bytes_ = 0;
    return matched;
  }
  size_t partial = 0;
  for (const Stop& stop : stops_) partial = std::max(partial, stop.matched);
  Release(held_bytes_ - partial, /*cut=*/false, released);
  return std::nullopt;
}

const StopMatcher::Stop* StopMatcher::Advance(char c) {
  const Stop* complete = nullptr;
  for (Stop& stop : stops_) {
    while (stop.matched > 0 && stop.text[stop.matched] != c) {
      stop.matched = stop.fallback[stop.matched];
    }
    if (stop.text[stop.matched] == c) ++stop.matched;
    if (stop.matched < stop.text.size()) continue;
    if (complete == nullptr || stop.text.size() > complete->text.size()) complete = &stop;
    stop.matched = stop.fallback[stop.matched];
  }
  return complete;
}

void StopMatcher::Release(size_t bytes, bool cut, std::vector<OutputPiece>& released) {
  while (!held_.empty()) {
    OutputPiece& front = held_.front();
    if (front.text.size() <= bytes) {
      bytes -= front.text.size();
      held_bytes_ -= front.text.size();
      released_bytes_ += front.text.size();
      released.push_back(std::move(front));
      held_.pop_front();
      continue;
    }
    if (bytes == 0 || (front.kind != PieceKind::kText && !cut)) return;
    released.push_back(
        {PieceKind::kText, front.text.substr(0, bytes), std::exchange(front.tokens, 0)});
    front.text.erase(0, bytes);
    held_bytes_ -= bytes;
    released_bytes_ += bytes;
    return;
  }
}

void StopMatcher::Flush(std::vector<OutputPiece>& released) {
  Release(held_bytes_, /*cut=*/false, released);
}

}  // namespace sluice::gateway
