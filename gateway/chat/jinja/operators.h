// SPDX-License-Identifier: Apache-2.0
// Python's operators on values: arithmetic, comparison, membership, slicing, iteration.
// INVALID_ARGUMENT where Python raises (TypeError, ZeroDivisionError, ...) and where an integer
// would leave 64 bits, which is the one thing these integers cannot do. Stateless but for the
// budget; any thread.
#pragma once

#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gateway/chat/jinja/budget.h"
#include "gateway/chat/jinja/value.h"

namespace sluice::gateway::jinja {

enum class BinaryOp { kAdd, kSub, kMul, kDiv, kFloorDiv, kMod, kPow };
enum class CompareOp { kEq, kNe, kLt, kLe, kGt, kGe, kIn, kNotIn };

const char* Symbol(BinaryOp op);

absl::StatusOr<Value> Binary(BinaryOp op, const Value& a, const Value& b, Budget* budget);
absl::StatusOr<Value> Negate(const Value& value);
absl::StatusOr<Value> Positive(const Value& value);
absl::StatusOr<bool> Compare(CompareOp op, const Value& a, const Value& b, Budget* budget);
absl::StatusOr<bool> LessThan(const Value& a, const Value& b);
absl::StatusOr<bool> Contains(const Value& container, const Value& item, Budget* budget);

// value[start:stop:step]; a bound that is none counts as left out.
absl::StatusOr<Value> Slice(const Value& value, const Value& start, const Value& stop,
                            const Value& step, Budget* budget);

// The items that iterating yields: characters, keys, the rest of a generator. TypeError as
// INVALID_ARGUMENT.
absl::StatusOr<std::vector<Value>> Iterate(const Value& value, Budget* budget);
bool IsIterable(const Value& value);
// len(value).
absl::StatusOr<int64_t> Length(const Value& value);

// The keys or the items of a dict, which Python subtracts and orders as sets. There are none here.
bool IsSetLike(const Value& value);

// The value as an index: int or bool; absent for every other type.
std::optional<int64_t> AsIndex(const Value& value);
// int, float or bool as a float.
std::optional<double> AsDouble(const Value& value);

// The character at a code point position of a string. REQUIRES: index < length.
Value CharacterAt(const Str& str, size_t index);
// HTML escaping of & < > ' and ", as markupsafe does it; the result is markup.
Value EscapeHtml(const Value& string);

// Sorts stably by key, one key for each value. A failed comparison is the error.
absl::Status SortByKeys(std::vector<Value>* values, std::vector<Value> keys, bool reverse,
                        Budget* budget);

}  // namespace sluice::gateway::jinja
