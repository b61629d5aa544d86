// SPDX-License-Identifier: Apache-2.0
// Template: a compiled Jinja template, as Transformers sets Jinja2 up (an immutable sandbox without
// autoescape, trim_blocks and lstrip_blocks on, loop controls, the generation tag). Immutable: any
// number of threads may render at once.
#pragma once

#include <ctime>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "gateway/chat/jinja/budget.h"
#include "gateway/chat/jinja/text.h"
#include "gateway/chat/jinja/value.h"

namespace sluice::gateway::jinja {

struct TemplateSyntax;

using Variables = std::vector<std::pair<std::string, Value>>;  // the last of equal names wins

class Template {
 public:
  // INVALID_ARGUMENT "line N: ..." for what is not Jinja or not supported.
  static absl::StatusOr<std::unique_ptr<const Template>> Compile(std::string_view source);
  ~Template();
  Template(const Template&) = delete;
  Template& operator=(const Template&) = delete;

  // INVALID_ARGUMENT: the message of raise_exception as it is, else "line N: ...".
  absl::StatusOr<Text> Render(const Variables& variables, const Limits& limits = {},
                              std::time_t now = 0) const;

 private:
  explicit Template(std::unique_ptr<const TemplateSyntax> syntax);
  const std::unique_ptr<const TemplateSyntax> syntax_;
};

}  // namespace sluice::gateway::jinja
