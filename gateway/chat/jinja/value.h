// SPDX-License-Identifier: Apache-2.0
// Value: what a template computes with, as Python has it: None, bool, int, float, str, list, tuple,
// dict, undefined, and the engine's own objects (namespace, macro, loop, ...). Strings, lists and
// dicts are immutable and shared by reference count (atomic: constants of a compiled template are
// shared by all renders); objects are mutable, belong to one render and are referred to by plain
// pointers, so that no cycle of references can form.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gateway/chat/jinja/text.h"

namespace sluice::gateway::jinja {

class Object;

struct Counted {
  Counted() = default;
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;
  virtual ~Counted() = default;
  mutable std::atomic<uint32_t> references{0};
};

// From kBigInt on, the value holds a Counted.
enum class Kind : uint8_t {
  kMissing,  // a variable that was never assigned; no expression yields it
  kNone,
  kBool,
  kInt,
  kFloat,
  kObject,
  kBigInt,
  kUndefined,
  kString,
  kList,
  kDict,
};

struct Str;
struct List;
struct Dict;
struct BigInt;

class Value {
 public:
  Value() = default;
  Value(const Value& other);
  Value(Value&& other) noexcept;
  Value& operator=(Value other) noexcept;
  ~Value();

  static Value None();
  static Value Bool(bool value);
  static Value Int(int64_t value);
  static Value Float(double value);
  static Value FromObject(Object* object);
  static Value String(Text text, bool markup = false);
  // A string the engine or a user wrote; a literal of the template.
  static Value UserString(std::string bytes);
  static Value TemplateString(std::string bytes);
  static Value FromCounted(Kind kind, Counted* counted);
  // An undefined variable, or the missing attribute `name` of a value of type `owner`.
  static Value UndefinedName(const Str* name);
  static Value UndefinedAttribute(const Str* name, const char* owner);
  static Value UndefinedHint(std::string hint);

  Kind kind() const { return kind_; }
  bool is(Kind kind) const { return kind_ == kind; }
  bool is_missing() const { return kind_ == Kind::kMissing; }
  bool is_undefined() const { return kind_ == Kind::kUndefined; }
  bool is_none() const { return kind_ == Kind::kNone; }
  bool is_string() const { return kind_ == Kind::kString; }

  bool bool_value() const { return payload_.boolean; }
  int64_t int_value() const { return payload_.integer; }
  double float_value() const { return payload_.real; }
  Object* object() const { return payload_.object; }
  const Counted* counted() const { return payload_.counted; }
  const Str& str() const;
  const List& list() const;
  const Dict& dict() const;
  const BigInt& big_int() const;
  // The error that using an undefined value raises.
  std::string UndefinedMessage() const;

 private:
  Kind kind_ = Kind::kMissing;
  const char* owner_ =
      nullptr;  // of an undefined attribute: the type it was asked of; "" for a hint
  union {
    bool boolean;
    int64_t integer;
    double real;
    Object* object;
    Counted* counted;
  } payload_ = {.integer = 0};
};

struct Str : Counted {
  explicit Str(Text value, bool is_markup = false);
  std::string_view view() const { return text.view(); }
  bool ascii() const { return length == text.size(); }

  const Text text;
  const size_t length;  // code points
  const bool markup;    // went through safe or escape: joins other strings by escaping them
};

struct BigInt : Counted {
  explicit BigInt(std::string text) : digits(std::move(text)) {}
  const std::string digits;  // canonical decimal, with a leading '-' where negative; outside int64
};

struct List : Counted {
  enum class Type : uint8_t { kList, kTuple, kRange, kKeys, kValues, kItems };
  List(Type list_type, std::vector<Value> values);
  const Type type;
  const std::vector<Value> items;
  const uint32_t depth;  // levels of lists and dicts below and including this one
};

struct Dict : Counted {
  using Entry = std::pair<Value, Value>;
  // Keeps the first position and the last value of equal keys, as Python does.
  explicit Dict(std::vector<Entry> pairs);
  const Value* Find(const Value& key) const;
  const Value* Find(std::string_view key) const;

  std::vector<Entry> entries;  // constant after construction
  uint32_t depth = 1;

 private:
  template <typename Matches>
  size_t Probe(uint64_t hash, const Matches& matches) const;
  std::vector<uint32_t> slots_;  // entry index + 1, open addressing; empty for few entries
};

Value MakeList(List::Type type, std::vector<Value> items);
Value MakeDict(std::vector<Dict::Entry> entries);

// Containers nested deeper than this are refused where they are made: destruction and printing
// recurse.
inline constexpr uint32_t kMaxContainerDepth = 256;
uint32_t ContainerDepth(const Value& value);

const char* TypeName(const Value& value);  // "str", "int", ... as Python's type(x).__name__
bool Truthy(const Value& value);
bool IsHashable(const Value& value);
uint64_t HashOf(const Value& value);
bool Equals(const Value& a, const Value& b);

}  // namespace sluice::gateway::jinja
