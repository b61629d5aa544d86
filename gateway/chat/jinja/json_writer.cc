// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gateway/chat/jinja/byte_scan.h"
#include "gateway/chat/jinja/json.h"
#include "gateway/chat/jinja/operators.h"
#include "gateway/chat/jinja/python_repr.h"
#include "gateway/chat/jinja/unicode.h"
#include "proto/wire/status_macros.h"

namespace sluice::gateway::jinja {
namespace {

std::string UnicodeEscape(char32_t point) {
  char buffer[16];
  if (point < 0x10000) {
    std::snprintf(buffer, sizeof(buffer), "\\u%04x", static_cast<unsigned>(point));
  } else {
    const unsigned offset = static_cast<unsigned>(point) - 0x10000;
    std::snprintf(buffer, sizeof(buffer), "\\u%04x\\u%04x", 0xd800 + (offset >> 10),
                  0xdc00 + (offset & 0x3ff));
  }
  return buffer;
}

// What a string holds in place of the code point; empty where it is written as it is.
std::string EscapeOf(char32_t point, bool ensure_ascii) {
  switch (point) {
    case '"':
      return "\\\"";
    case '\\':
      return "\\\\";
    case '\n':
      return "\\n";
    case '\r':
      return "\\r";
    case '\t':
      return "\\t";
    case '\b':
      return "\\b";
    case '\f':
      return "\\f";
    default:
      break;
  }
  if (point < 0x20 || (ensure_ascii && point > 0x7e)) return UnicodeEscape(point);
  return "";
}

std::string JsonFloat(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value < 0 ? "-Infinity" : "Infinity";
  return ReprFloat(value);
}

class Writer {
 public:
  Writer(const JsonStyle& style, Text* out) : style_(style), out_(out) {}

  absl::Status Write(const Value& value) {
    switch (value.kind()) {
      case Kind::kNone:
        Add("null");
        return absl::OkStatus();
      case Kind::kBool:
        Add(value.bool_value() ? "true" : "false");
        return absl::OkStatus();
      case Kind::kInt:
      case Kind::kBigInt:
        return AppendRepr(value, out_);
      case Kind::kFloat:
        Add(JsonFloat(value.float_value()));
        return absl::OkStatus();
      case Kind::kString:
        WriteString(value.str().text);
        return absl::OkStatus();
      case Kind::kDict:
        return WriteDict(value.dict());
      case Kind::kList:
        if (value.list().type <= List::Type::kTuple) return WriteList(value.list());
        break;
      default:
        break;
    }
    if (value.is_undefined())
      return absl::InvalidArgumentError(absl::StrCat("tojson: ", value.UndefinedMessage()));
    return absl::InvalidArgumentError(
        absl::StrCat("tojson: a value of type ", TypeName(value), " has no JSON form"));
  }

 private:
  void Add(std::string_view bytes) { out_->Append(bytes, Origin::kUser); }

  void NewLine() {
    if (!style_.indent.has_value()) return;
    Add("\n");
    for (size_t i = 0; i < level_; ++i) out_->Append(*style_.indent);
  }

  // The first position from `begin` on that is written as an escape.
  size_t NextEscape(std::string_view view, size_t begin) const {
    const size_t end = SkipPlainJson(view, begin);
    if (!style_.ensure_ascii) return end;
    const auto* it = std::find_if(view.data() + begin, view.data() + end,
                                  [](char c) { return static_cast<unsigned char>(c) > 0x7e; });
    return static_cast<size_t>(it - view.data());
  }

  void WriteString(const Text& text) {
    Add("\"");
    const std::string_view view = text.view();
    size_t plain = 0;
    for (size_t pos = 0; pos < view.size();) {
      pos = NextEscape(view, pos);
      if (pos == view.size()) break;
      const CodePoint point = DecodeAt(view, pos);
      out_->Append(text, plain, pos);
      out_->Append(EscapeOf(point.value, style_.ensure_ascii), text.OriginAt(pos));
      pos += point.length;
      plain = pos;
    }
    out_->Append(text, plain, text.size());
    Add("\"");
  }

  absl::Status WriteKey(const Value& key) {
    if (key.is_string()) {
      WriteString(key.str().text);
      return absl::OkStatus();
    }
    const bool plain = key.is_none() || key.is(Kind::kBool) || key.is(Kind::kInt) ||
                       key.is(Kind::kBigInt) || key.is(Kind::kFloat);
    if (!plain) {
      return absl::InvalidArgumentError(
          absl::StrCat("tojson: keys must be str, int, float, bool or None, not ", TypeName(key)));
    }
    Add("\"");
    SLUICE_RETURN_IF_ERROR(Write(key));
    Add("\"");
    return absl::OkStatus();
  }

  absl::Status WriteList(const List& list) {
    if (list.items.empty()) {
      Add("[]");
      return absl::OkStatus();
    }
    Add("[");
    ++level_;
    for (size_t i = 0; i < list.items.size(); ++i) {
      if (i > 0) out_->Append(style_.item_separator);
      NewLine();
      SLUICE_RETURN_IF_ERROR(Write(list.items[i]));
    }
    --level_;
    NewLine();
    Add("]");
    return absl::OkStatus();
  }

  absl::Status WriteDict(const Dict& dict) {
    if (dict.entries.empty()) {
      Add("{}");
      return absl::OkStatus();
    }
    std::vector<const Dict::Entry*> entries;
    entries.reserve(dict.entries.size());
    for (const Dict::Entry& entry : dict.entries) entries.push_back(&entry);
    if (style_.sort_keys) SLUICE_RETURN_IF_ERROR(SortByKey(&entries));
    Add("{");
    ++level_;
    bool first = true;
    for (const Dict::Entry* entry : entries) {
      if (!first) out_->Append(style_.item_separator);
      first = false;
      NewLine();
      SLUICE_RETURN_IF_ERROR(WriteKey(entry->first));
      out_->Append(style_.key_separator);
      SLUICE_RETURN_IF_ERROR(Write(entry->second));
    }
    --level_;
    NewLine();
    Add("}");
    return absl::OkStatus();
  }

  static absl::Status SortByKey(std::vector<const Dict::Entry*>* entries) {
    absl::Status status;
    std::stable_sort(entries->begin(), entries->end(),
                     [&status](const Dict::Entry* a, const Dict::Entry* b) {
                       absl::StatusOr<bool> less = LessThan(a->first, b->first);
                       if (!less.ok()) status = less.status();
                       return less.ok() && *less;
                     });
    return status;
  }

  const JsonStyle& style_;
  Text* out_;
  size_t level_ = 0;
};

}  // namespace

absl::Status AppendJson(const Value& value, const JsonStyle& style, Text* out) {
  return Writer(style, out).Write(value);
}

}  // namespace sluice::gateway::jinja
