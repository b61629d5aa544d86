// SPDX-License-Identifier: Apache-2.0
#include "gateway/chat/jinja/value.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstring>

#include "absl/hash/hash.h"
#include "gateway/chat/jinja/object.h"
#include "gateway/chat/jinja/python_repr.h"
#include "gateway/chat/jinja/unicode.h"

namespace sluice::gateway::jinja {
namespace {

constexpr const char* kHintOwner = "";
// Dicts up to this many entries are searched one by one.
constexpr size_t kLinearEntries = 8;

bool HoldsCounted(Kind kind) { return kind >= Kind::kBigInt; }

void Acquire(Kind kind, const Counted* counted) {
  if (HoldsCounted(kind)) counted->references.fetch_add(1, std::memory_order_relaxed);
}

uint32_t DepthOf(const std::vector<Value>& items) {
  uint32_t depth = 0;
  for (const Value& item : items) depth = std::max(depth, ContainerDepth(item));
  return depth + 1;
}

// The decimal digits of a finite float that is a whole number.
std::string WholeDigits(double value) {
  char buffer[400];
  const auto end = std::to_chars(buffer, buffer + sizeof(buffer), value, std::chars_format::fixed);
  return std::string(buffer, end.ptr);
}

bool IsWhole(double value) { return std::isfinite(value) && value == std::floor(value); }
bool FitsInt64(double value) { return value >= -0x1p63 && value < 0x1p63; }

uint64_t HashInt(int64_t value) { return absl::Hash<int64_t>()(value); }
uint64_t HashBytes(std::string_view bytes) { return absl::Hash<std::string_view>()(bytes); }

uint64_t HashFloat(double value) {
  if (IsWhole(value)) {
    return FitsInt64(value) ? HashInt(static_cast<int64_t>(value)) : HashBytes(WholeDigits(value));
  }
  return HashInt(std::bit_cast<int64_t>(value));
}

bool EqualsFloat(double value, const Value& other) {
  switch (other.kind()) {
    case Kind::kFloat:
      return value == other.float_value();
    case Kind::kBool:
      return value == (other.bool_value() ? 1.0 : 0.0);
    case Kind::kInt:
      return IsWhole(value) && FitsInt64(value) && static_cast<int64_t>(value) == other.int_value();
    case Kind::kBigInt:
      return IsWhole(value) && WholeDigits(value) == other.big_int().digits;
    default:
      return false;
  }
}

bool EqualsInt(int64_t value, const Value& other) {
  switch (other.kind()) {
    case Kind::kBool:
      return value == (other.bool_value() ? 1 : 0);
    case Kind::kInt:
      return value == other.int_value();
    case Kind::kFloat:
      return EqualsFloat(other.float_value(), Value::Int(value));
    default:
      return false;
  }
}

bool EqualsList(const List& a, const List& b) {
  if (a.type != b.type || a.items.size() != b.items.size()) return false;
  // Views of dicts other than their keys and items compare by identity in Python.
  if (a.type == List::Type::kValues) return &a == &b;
  for (size_t i = 0; i < a.items.size(); ++i) {
    if (!Equals(a.items[i], b.items[i])) return false;
  }
  return true;
}

bool EqualsDict(const Dict& a, const Dict& b) {
  if (a.entries.size() != b.entries.size()) return false;
  for (const auto& [key, value] : a.entries) {
    const Value* other = b.Find(key);
    if (other == nullptr || !Equals(value, *other)) return false;
  }
  return true;
}

}  // namespace

Value::Value(const Value& other)
    : kind_(other.kind_), owner_(other.owner_), payload_(other.payload_) {
  Acquire(kind_, payload_.counted);
}

Value::Value(Value&& other) noexcept
    : kind_(other.kind_), owner_(other.owner_), payload_(other.payload_) {
  other.kind_ = Kind::kMissing;
}

Value& Value::operator=(Value other) noexcept {
  std::swap(kind_, other.kind_);
  std::swap(owner_, other.owner_);
  std::swap(payload_, other.payload_);
  return *this;
}

Value::~Value() {
  if (HoldsCounted(kind_) &&
      payload_.counted->references.fetch_sub(1, std::memory_order_acq_rel) == 1) {
    delete payload_.counted;
  }
}

Value Value::None() {
  Value value;
  value.kind_ = Kind::kNone;
  return value;
}

Value Value::Bool(bool boolean) {
  Value value;
  value.kind_ = Kind::kBool;
  value.payload_.boolean = boolean;
  return value;
}

Value Value::Int(int64_t integer) {
  Value value;
  value.kind_ = Kind::kInt;
  value.payload_.integer = integer;
  return value;
}

Value Value::Float(double real) {
  Value value;
  value.kind_ = Kind::kFloat;
  value.payload_.real = real;
  return value;
}

Value Value::FromObject(Object* object) {
  Value value;
  value.kind_ = Kind::kObject;
  value.payload_.object = object;
  return value;
}

Value Value::FromCounted(Kind kind, Counted* counted) {
  Value value;
  value.kind_ = kind;
  value.payload_.counted = counted;
  Acquire(kind, counted);
  return value;
}

Value Value::String(Text text, bool markup) {
  return FromCounted(Kind::kString, new Str(std::move(text), markup));
}

Value Value::UserString(std::string bytes) { return String(Text(std::move(bytes), Origin::kUser)); }

Value Value::TemplateString(std::string bytes) {
  return String(Text(std::move(bytes), Origin::kTemplate));
}

Value Value::UndefinedName(const Str* name) { return UndefinedAttribute(name, nullptr); }

Value Value::UndefinedAttribute(const Str* name, const char* owner) {
  // The reference count is mutable; the string itself is not touched.
  Value value = FromCounted(Kind::kUndefined, const_cast<Str*>(name));
  value.owner_ = owner;
  return value;
}

Value Value::UndefinedHint(std::string hint) {
  Value value = FromCounted(Kind::kUndefined, new Str(Text(std::move(hint), Origin::kUser)));
  value.owner_ = kHintOwner;
  return value;
}

const Str& Value::str() const { return *static_cast<const Str*>(payload_.counted); }
const List& Value::list() const { return *static_cast<const List*>(payload_.counted); }
const Dict& Value::dict() const { return *static_cast<const Dict*>(payload_.counted); }
const BigInt& Value::big_int() const { return *static_cast<const BigInt*>(payload_.counted); }

std::string Value::UndefinedMessage() const {
  const std::string& name = static_cast<const Str*>(payload_.counted)->text.bytes();
  if (owner_ == nullptr) return ReprString(name) + " is undefined";
  if (owner_ == kHintOwner) return name;
  // As Jinja2 names the type of what was asked.
  const std::string owner = owner_;
  const std::string shown = owner == "NoneType" ? "None" : owner + " object";
  return "'" + shown + "' has no attribute " + ReprString(name);
}

Str::Str(Text value, bool is_markup)
    : text(std::move(value)), length(CountCodePoints(text.view())), markup(is_markup) {}

List::List(Type list_type, std::vector<Value> values)
    : type(list_type), items(std::move(values)), depth(DepthOf(items)) {}

template <typename Matches>
size_t Dict::Probe(uint64_t hash, const Matches& matches) const {
  const size_t mask = slots_.size() - 1;
  size_t slot = hash & mask;
  while (slots_[slot] != 0 && !matches(slots_[slot] - 1)) slot = (slot + 1) & mask;
  return slot;
}

Dict::Dict(std::vector<Entry> pairs) {
  if (pairs.size() > kLinearEntries) slots_.resize(std::bit_ceil(pairs.size() * 2));
  entries.reserve(pairs.size());
  for (Entry& pair : pairs) {
    depth = std::max(depth, ContainerDepth(pair.second) + 1);
    const auto matches = [&](size_t i) { return Equals(entries[i].first, pair.first); };
    size_t found = entries.size();
    if (slots_.empty()) {
      for (size_t i = 0; i < entries.size() && found == entries.size(); ++i) {
        if (matches(i)) found = i;
      }
    } else {
      const size_t slot = Probe(HashOf(pair.first), matches);
      if (slots_[slot] != 0) {
        found = slots_[slot] - 1;
      } else {
        slots_[slot] = static_cast<uint32_t>(entries.size() + 1);
      }
    }
    if (found == entries.size()) {
      entries.push_back(std::move(pair));
    } else {
      entries[found].second = std::move(pair.second);
    }
  }
}

const Value* Dict::Find(const Value& key) const {
  const auto matches = [&](size_t i) { return Equals(entries[i].first, key); };
  if (slots_.empty()) {
    for (size_t i = 0; i < entries.size(); ++i) {
      if (matches(i)) return &entries[i].second;
    }
    return nullptr;
  }
  const uint32_t slot = slots_[Probe(HashOf(key), matches)];
  return slot == 0 ? nullptr : &entries[slot - 1].second;
}

const Value* Dict::Find(std::string_view key) const {
  const auto matches = [&](size_t i) {
    return entries[i].first.is_string() && entries[i].first.str().view() == key;
  };
  if (slots_.empty()) {
    for (size_t i = 0; i < entries.size(); ++i) {
      if (matches(i)) return &entries[i].second;
    }
    return nullptr;
  }
  const uint32_t slot = slots_[Probe(HashBytes(key), matches)];
  return slot == 0 ? nullptr : &entries[slot - 1].second;
}

Value MakeList(List::Type type, std::vector<Value> items) {
  return Value::FromCounted(Kind::kList, new List(type, std::move(items)));
}

Value MakeDict(std::vector<Dict::Entry> entries) {
  return Value::FromCounted(Kind::kDict, new Dict(std::move(entries)));
}

uint32_t ContainerDepth(const Value& value) {
  if (value.is(Kind::kList)) return value.list().depth;
  if (value.is(Kind::kDict)) return value.dict().depth;
  return 0;
}

const char* TypeName(const Value& value) {
  switch (value.kind()) {
    case Kind::kMissing:
    case Kind::kUndefined:
      return "Undefined";
    case Kind::kNone:
      return "NoneType";
    case Kind::kBool:
      return "bool";
    case Kind::kInt:
    case Kind::kBigInt:
      return "int";
    case Kind::kFloat:
      return "float";
    case Kind::kString:
      return value.str().markup ? "Markup" : "str";
    case Kind::kDict:
      return "dict";
    case Kind::kObject:
      return value.object()->type_name();
    case Kind::kList: {
      constexpr const char* kNames[] = {"list",      "tuple",       "range",
                                        "dict_keys", "dict_values", "dict_items"};
      return kNames[static_cast<size_t>(value.list().type)];
    }
  }
  return "";
}

bool Truthy(const Value& value) {
  switch (value.kind()) {
    case Kind::kMissing:
    case Kind::kUndefined:
    case Kind::kNone:
      return false;
    case Kind::kBool:
      return value.bool_value();
    case Kind::kInt:
      return value.int_value() != 0;
    case Kind::kFloat:
      return value.float_value() != 0;
    case Kind::kString:
      return !value.str().text.empty();
    case Kind::kList:
      return !value.list().items.empty();
    case Kind::kDict:
      return !value.dict().entries.empty();
    case Kind::kBigInt:
    case Kind::kObject:
      return true;
  }
  return true;
}

bool IsHashable(const Value& value) {
  if (value.is(Kind::kDict)) return false;
  if (!value.is(Kind::kList)) return true;
  const List& list = value.list();
  if (list.type == List::Type::kRange || list.type == List::Type::kValues) return true;
  return list.type == List::Type::kTuple &&
         std::all_of(list.items.begin(), list.items.end(), IsHashable);
}

uint64_t HashOf(const Value& value) {
  switch (value.kind()) {
    case Kind::kBool:
      return HashInt(value.bool_value() ? 1 : 0);
    case Kind::kInt:
      return HashInt(value.int_value());
    case Kind::kFloat:
      return HashFloat(value.float_value());
    case Kind::kBigInt:
      return HashBytes(value.big_int().digits);
    case Kind::kString:
      return HashBytes(value.str().view());
    case Kind::kList: {
      uint64_t hash = 0x9e3779b97f4a7c15;
      for (const Value& item : value.list().items) hash = (hash ^ HashOf(item)) * 0x100000001b3;
      return hash;
    }
    case Kind::kObject:
      return HashInt(std::bit_cast<int64_t>(value.object()));
    default:
      return static_cast<uint64_t>(value.kind());
  }
}

bool Equals(const Value& a, const Value& b) {
  switch (a.kind()) {
    case Kind::kMissing:
    case Kind::kUndefined:
      return b.is_undefined();
    case Kind::kNone:
      return b.is_none();
    case Kind::kBool:
      return EqualsInt(a.bool_value() ? 1 : 0, b);
    case Kind::kInt:
      return EqualsInt(a.int_value(), b);
    case Kind::kFloat:
      return EqualsFloat(a.float_value(), b);
    case Kind::kBigInt:
      if (b.is(Kind::kFloat)) return EqualsFloat(b.float_value(), a);
      return b.is(Kind::kBigInt) && a.big_int().digits == b.big_int().digits;
    case Kind::kString:
      return b.is_string() && a.str().view() == b.str().view();
    case Kind::kList:
      return b.is(Kind::kList) && EqualsList(a.list(), b.list());
    case Kind::kDict:
      return b.is(Kind::kDict) && EqualsDict(a.dict(), b.dict());
    case Kind::kObject:
      return b.is(Kind::kObject) && a.object() == b.object();
  }
  return false;
}

}  // namespace sluice::gateway::jinja
