// SPDX-License-Identifier: Apache-2.0
#include "gateway/chat/jinja/call_args.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "gateway/chat/jinja/operators.h"

namespace sluice::gateway::jinja {

absl::StatusOr<std::vector<Value>> BindArguments(std::string_view function, const CallArgs& args,
                                                 std::initializer_list<const char*> names,
                                                 size_t required) {
  const auto fail = [&](const std::string& what) {
    return absl::InvalidArgumentError(absl::StrCat(std::string(function), ": ", what));
  };
  if (args.positional.size() > names.size()) {
    return fail(
        absl::StrCat("takes at most ", names.size(), " arguments, got ", args.positional.size()));
  }
  std::vector<Value> bound = args.positional;
  bound.resize(names.size());
  for (const auto& [name, value] : args.keyword) {
    size_t index = 0;
    for (const char* candidate : names) {
      if (candidate != nullptr && name.str().view() == candidate) break;
      ++index;
    }
    if (index == names.size()) {
      return fail(absl::StrCat("unexpected argument '", name.str().text.bytes(), "'"));
    }
    if (!bound[index].is_missing()) {
      return fail(absl::StrCat("two values for the argument '", name.str().text.bytes(), "'"));
    }
    bound[index] = value;
  }
  for (size_t i = 0; i < required; ++i) {
    if (bound[i].is_missing()) return fail(absl::StrCat("argument ", i + 1, " is missing"));
  }
  return bound;
}

absl::StatusOr<bool> BoolArgument(const Value& value, bool fallback) {
  return value.is_missing() ? fallback : Truthy(value);
}

absl::StatusOr<int64_t> IntArgument(std::string_view function, const char* name, const Value& value,
                                    int64_t fallback) {
  if (value.is_missing()) return fallback;
  if (const std::optional<int64_t> index = AsIndex(value)) return *index;
  if (value.is_undefined()) return absl::InvalidArgumentError(value.UndefinedMessage());
  return absl::InvalidArgumentError(absl::StrCat(std::string(function), ": ", name,
                                                 " must be an integer, not ", TypeName(value)));
}

}  // namespace sluice::gateway::jinja
