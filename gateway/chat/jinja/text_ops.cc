// SPDX-License-Identifier: Apache-2.0
#include "gateway/chat/jinja/text_ops.h"

#include <algorithm>
#include <string>

#include "gateway/chat/jinja/unicode.h"

namespace sluice::gateway::jinja {
namespace {

// Rebuilds a text code point by code point: append(pos, point, out) writes what stands for the one
// at pos.
template <typename AppendFn>
Text MapPoints(const Text& text, AppendFn append) {
  Text out;
  std::string run;  // mapped bytes of one origin, not yet appended
  Origin origin = Origin::kTemplate;
  const std::vector<Text::Span>& spans = text.user_spans();
  size_t span = 0;
  for (size_t pos = 0; pos < text.size();) {
    while (span < spans.size() && spans[span].end <= pos) ++span;
    const bool is_user = span < spans.size() && spans[span].begin <= pos;
    const Origin point_origin = is_user ? Origin::kUser : Origin::kTemplate;
    if (point_origin != origin) {
      out.Append(run, origin);
      run.clear();
      origin = point_origin;
    }
    const CodePoint point = DecodeAt(text.view(), pos);
    append(pos, point.value, &run);
    pos += point.length;
  }
  out.Append(run, origin);
  return out;
}

bool InSet(std::string_view set, std::string_view point) {
  for (size_t pos = 0; pos < set.size();) {
    const size_t length = DecodeAt(set, pos).length;
    if (set.substr(pos, length) == point) return true;
    pos += length;
  }
  return false;
}

// Cuts `text` at the given [begin, end) separators.
std::vector<Text> CutAt(const Text& text, const std::vector<Text::Span>& separators) {
  std::vector<Text> pieces;
  pieces.reserve(separators.size() + 1);
  size_t begin = 0;
  for (const Text::Span& separator : separators) {
    pieces.push_back(text.Slice(begin, separator.begin));
    begin = separator.end;
  }
  pieces.push_back(text.Slice(begin, text.size()));
  return pieces;
}

bool SplitsLeft(int64_t done, int64_t max_splits) { return max_splits < 0 || done < max_splits; }

size_t SkipSpaces(std::string_view text, size_t pos, bool spaces) {
  while (pos < text.size()) {
    const CodePoint point = DecodeAt(text, pos);
    if (IsSpace(point.value) != spaces) break;
    pos += point.length;
  }
  return pos;
}

size_t SkipSpacesBack(std::string_view text, size_t end, bool spaces) {
  while (end > 0) {
    const CodePoint point = DecodeBefore(text, end);
    if (IsSpace(point.value) != spaces) break;
    end -= point.length;
  }
  return end;
}

}  // namespace

Text ToUpper(const Text& text) {
  return MapPoints(text, [](size_t, char32_t point, std::string* out) { AppendUpper(point, out); });
}

Text ToLower(const Text& text) {
  return MapPoints(
      text, [&](size_t pos, char32_t, std::string* out) { AppendLower(text.view(), pos, out); });
}

Text ToTitle(const Text& text) {
  bool after_cased = false;
  return MapPoints(text, [&](size_t pos, char32_t point, std::string* out) {
    if (after_cased) {
      AppendLower(text.view(), pos, out);
    } else {
      AppendTitle(point, out);
    }
    after_cased = IsCased(point);
  });
}

Text ToCapitalized(const Text& text) {
  return MapPoints(text, [&](size_t pos, char32_t point, std::string* out) {
    if (pos == 0) {
      AppendTitle(point, out);
    } else {
      AppendLower(text.view(), pos, out);
    }
  });
}

Text ToSwappedCase(const Text& text) {
  return MapPoints(text, [&](size_t pos, char32_t point, std::string* out) {
    if (IsUpper(point)) {
      AppendLower(text.view(), pos, out);
    } else if (IsLower(point)) {
      AppendUpper(point, out);
    } else {
      AppendUtf8(point, out);
    }
  });
}

Text Strip(const Text& text, std::optional<std::string_view> chars, StripSides sides) {
  const std::string_view view = text.view();
  const auto strips = [&](size_t pos, const CodePoint& point) {
    return chars ? InSet(*chars, view.substr(pos, point.length)) : IsSpace(point.value);
  };
  size_t begin = 0;
  size_t end = view.size();
  while ((sides & kStripLeft) != 0 && begin < end) {
    const CodePoint point = DecodeAt(view, begin);
    if (!strips(begin, point)) break;
    begin += point.length;
  }
  while ((sides & kStripRight) != 0 && end > begin) {
    const CodePoint point = DecodeBefore(view, end);
    if (!strips(end - point.length, point)) break;
    end -= point.length;
  }
  return text.Slice(begin, end);
}

std::vector<Text> Split(const Text& text, std::string_view separator, int64_t max_splits) {
  std::vector<Text::Span> cuts;
  size_t pos = 0;
  while (SplitsLeft(static_cast<int64_t>(cuts.size()), max_splits)) {
    pos = text.view().find(separator, pos);
    if (pos == std::string_view::npos) break;
    cuts.push_back({pos, pos + separator.size()});
    pos += separator.size();
  }
  return CutAt(text, cuts);
}

std::vector<Text> SplitFromRight(const Text& text, std::string_view separator, int64_t max_splits) {
  std::vector<Text::Span> cuts;
  std::string_view rest = text.view();
  while (SplitsLeft(static_cast<int64_t>(cuts.size()), max_splits)) {
    const size_t pos = rest.rfind(separator);
    if (pos == std::string_view::npos) break;
    cuts.push_back({pos, pos + separator.size()});
    rest = rest.substr(0, pos);
  }
  std::reverse(cuts.begin(), cuts.end());
  return CutAt(text, cuts);
}

std::vector<Text> SplitSpace(const Text& text, int64_t max_splits) {
  std::vector<Text> pieces;
  size_t pos = SkipSpaces(text.view(), 0, true);
  while (pos < text.size()) {
    const bool rest = !SplitsLeft(static_cast<int64_t>(pieces.size()), max_splits);
    const size_t end = rest ? text.size() : SkipSpaces(text.view(), pos, false);
    pieces.push_back(text.Slice(pos, end));
    pos = SkipSpaces(text.view(), end, true);
  }
  return pieces;
}

std::vector<Text> SplitSpaceFromRight(const Text& text, int64_t max_splits) {
  std::vector<Text> pieces;
  size_t end = SkipSpacesBack(text.view(), text.size(), true);
  while (end > 0) {
    const bool rest = !SplitsLeft(static_cast<int64_t>(pieces.size()), max_splits);
    const size_t begin = rest ? 0 : SkipSpacesBack(text.view(), end, false);
    pieces.push_back(text.Slice(begin, end));
    end = SkipSpacesBack(text.view(), begin, true);
  }
  std::reverse(pieces.begin(), pieces.end());
  return pieces;
}

std::vector<Text> SplitLines(const Text& text, bool keep_ends) {
  std::vector<Text> lines;
  const std::string_view view = text.view();
  size_t begin = 0;
  for (size_t pos = 0; pos < view.size();) {
    const CodePoint point = DecodeAt(view, pos);
    size_t next = pos + point.length;
    if (IsLineBreak(point.value)) {
      if (point.value == '\r' && next < view.size() && view[next] == '\n') ++next;
      lines.push_back(text.Slice(begin, keep_ends ? next : pos));
      begin = next;
    }
    pos = next;
  }
  if (begin < view.size()) lines.push_back(text.Slice(begin, view.size()));
  return lines;
}

Text Replace(const Text& text, std::string_view from, const Text& to, int64_t count) {
  const std::string_view view = text.view();
  Text out;
  size_t pos = 0;
  int64_t done = 0;
  if (from.empty()) {
    // Between all code points, and at both ends.
    while (SplitsLeft(done, count)) {
      out.Append(to);
      ++done;
      if (pos == view.size()) return out;
      const size_t next = pos + DecodeAt(view, pos).length;
      out.Append(text, pos, next);
      pos = next;
    }
  } else {
    while (SplitsLeft(done, count)) {
      const size_t found = view.find(from, pos);
      if (found == std::string_view::npos) break;
      out.Append(text, pos, found);
      out.Append(to);
      pos = found + from.size();
      ++done;
    }
  }
  out.Append(text, pos, text.size());
  return out;
}

Text Join(const Text& separator, const std::vector<Text>& parts) {
  size_t size = 0;
  for (const Text& part : parts) size += part.size() + separator.size();
  Text out;
  out.Reserve(size);
  for (size_t i = 0; i < parts.size(); ++i) {
    if (i > 0) out.Append(separator);
    out.Append(parts[i]);
  }
  return out;
}

Text Pad(const Text& text, int64_t left, int64_t right, const Text& fill) {
  Text out;
  for (int64_t i = 0; i < left; ++i) out.Append(fill);
  out.Append(text);
  for (int64_t i = 0; i < right; ++i) out.Append(fill);
  return out;
}

int64_t CountOccurrences(std::string_view text, std::string_view part) {
  if (part.empty()) return static_cast<int64_t>(CountCodePoints(text)) + 1;
  int64_t count = 0;
  for (size_t pos = text.find(part); pos != std::string_view::npos;
       pos = text.find(part, pos + part.size())) {
    ++count;
  }
  return count;
}

}  // namespace sluice::gateway::jinja
