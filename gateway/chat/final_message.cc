// SPDX-License-Identifier: Apache-2.0
#include "gateway/chat/final_message.h"

#include <optional>
#include <utility>
#include <vector>

#include "gateway/chat/jinja/text_ops.h"

namespace sluice::gateway {
namespace {

using jinja::Dict;
using jinja::Kind;
using jinja::List;
using jinja::Origin;
using jinja::Text;
using jinja::Value;

// Transformers' own tag. Its trailing space tells whether the template strips the content.
constexpr std::string_view kTag = "CONTINUE_FINAL_MESSAGE_TAG ";
constexpr std::string_view kStrippedTag = kTag.substr(0, kTag.size() - 1);

std::string Stripped(std::string_view text) {
  return jinja::Strip(Text(std::string(text), Origin::kUser), std::nullopt, jinja::kStripBoth)
      .bytes();
}

Value Tagged(const Value& text) {
  Text tagged = text.str().text;
  tagged.Append(kTag, Origin::kUser);
  return Value::String(std::move(tagged));
}

Value WithMember(const Value& object, std::string_view name, const Value& value) {
  std::vector<Dict::Entry> entries = object.dict().entries;
  for (Dict::Entry& entry : entries) {
    if (entry.first.str().view() == name) entry.second = value;
  }
  return jinja::MakeDict(std::move(entries));
}

// The part that holds the last text; null where no part does.
const Value* FindText(const std::vector<Value>& parts, size_t* position) {
  for (size_t i = parts.size(); i-- > 0;) {
    const Value* text = parts[i].is(Kind::kDict) ? parts[i].dict().Find("text") : nullptr;
    if (text == nullptr) continue;
    *position = i;
    return text->is_string() ? text : nullptr;
  }
  return nullptr;
}

}  // namespace

absl::StatusOr<FinalMessage> FinalMessage::Mark(std::string_view template_source, Value* messages) {
  std::vector<Value> list = messages->list().items;
  const Value* content =
      !list.empty() && list.back().is(Kind::kDict) ? list.back().dict().Find("content") : nullptr;
  if (content == nullptr || content->is_none()) {
    return absl::InvalidArgumentError(
        "continue_final_message is set but the last message has no content to continue");
  }
  if (template_source.find("content") == std::string_view::npos) {
    return absl::InvalidArgumentError(
        "continue_final_message is set but the chat template reads no content");
  }
  Value tagged;
  std::string original;
  if (content->is_string()) {
    original = content->str().text.bytes();
    tagged = Tagged(*content);
  } else if (content->is(Kind::kList)) {
    std::vector<Value> parts = content->list().items;
    size_t position = 0;
    const Value* text = FindText(parts, &position);
    if (text != nullptr) {
      original = text->str().text.bytes();
      parts[position] = WithMember(parts[position], "text", Tagged(*text));
      tagged = jinja::MakeList(List::Type::kList, std::move(parts));
    }
  }
  if (tagged.is_missing()) {
    return absl::InvalidArgumentError(
        "continue_final_message is set but the last message has no text to continue");
  }
  list.back() = WithMember(list.back(), "content", tagged);
  *messages = jinja::MakeList(List::Type::kList, std::move(list));
  return FinalMessage(std::move(original));
}

absl::StatusOr<Text> FinalMessage::Cut(const Text& rendered) const {
  const std::string_view view = rendered.view();
  const size_t tag = view.rfind(kStrippedTag);
  if (tag == std::string_view::npos || view.find(Stripped(content_)) == std::string_view::npos) {
    return absl::InvalidArgumentError(
        "continue_final_message is set but the last message does not appear in the rendered chat; "
        "the chat template leaves out or changes a part of it");
  }
  Text before = rendered.Slice(0, tag);
  if (view.substr(tag, kTag.size()) == kTag) return before;
  // The template strips the content, so the text ends where the stripped message does.
  return jinja::Strip(before, std::nullopt, jinja::kStripRight);
}

}  // namespace sluice::gateway
