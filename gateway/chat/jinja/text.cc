// SPDX-License-Identifier: Apache-2.0
#include "gateway/chat/jinja/text.h"

#include <algorithm>
#include <utility>

namespace sluice::gateway::jinja {

Text::Text(std::string bytes, Origin origin) : bytes_(std::move(bytes)) {
  if (origin == Origin::kUser) AppendSpan(0, bytes_.size());
}

Origin Text::OriginAt(size_t pos) const {
  const auto it = std::upper_bound(user_spans_.begin(), user_spans_.end(), pos,
                                   [](size_t p, const Span& span) { return p < span.end; });
  return it != user_spans_.end() && it->begin <= pos ? Origin::kUser : Origin::kTemplate;
}

void Text::AppendSpan(size_t begin, size_t end) {
  if (begin == end) return;
  if (!user_spans_.empty() && user_spans_.back().end == begin) {
    user_spans_.back().end = end;
  } else {
    user_spans_.push_back({begin, end});
  }
}

void Text::Append(std::string_view bytes, Origin origin) {
  const size_t begin = bytes_.size();
  bytes_.append(bytes);
  if (origin == Origin::kUser) AppendSpan(begin, bytes_.size());
}

void Text::Append(const Text& other, size_t begin, size_t end) {
  const size_t base = bytes_.size();
  bytes_.append(other.bytes_, begin, end - begin);
  auto it = std::upper_bound(other.user_spans_.begin(), other.user_spans_.end(), begin,
                             [](size_t p, const Span& span) { return p < span.end; });
  for (; it != other.user_spans_.end() && it->begin < end; ++it) {
    AppendSpan(base + std::max(it->begin, begin) - begin, base + std::min(it->end, end) - begin);
  }
}

Text Text::Slice(size_t begin, size_t end) const {
  Text out;
  out.Append(*this, begin, end);
  return out;
}

}  // namespace sluice::gateway::jinja
