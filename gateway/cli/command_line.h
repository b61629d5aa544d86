// SPDX-License-Identifier: Apache-2.0
// The command line of one subcommand: a table of options, parsed and explained from the same rows.
// The servers' flags are Abseil's, which are global to a process; subcommands with different
// options are not, so the `sluice` binary reads its own. Pure functions, any thread.
#pragma once

#include <charconv>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace sluice::gateway {

struct OptionSpec {
  std::string_view name;   // without the dashes
  std::string_view value;  // what --help calls the value; empty: a switch
  std::string_view help;   // one sentence, with unit and default
};

struct ParsedOptions {
  std::vector<std::string> positional;
  std::map<std::string, std::string, std::less<>> values;  // a switch that was given: "true"

  bool Has(std::string_view name) const { return values.find(name) != values.end(); }
  // The value given, else `otherwise`.
  std::string Get(std::string_view name, std::string_view otherwise = "") const;
};

// Takes --name=value, --name value, --switch, --help and -h; everything after "--" is positional.
// INVALID_ARGUMENT names the option, and the known one that it resembles.
absl::StatusOr<ParsedOptions> ParseOptions(const std::vector<std::string>& args,
                                           const std::vector<OptionSpec>& specs);

// The option's value as a finite number, or as a whole number that Int holds; nothing when it was
// not given. INVALID_ARGUMENT names the option and the text.
absl::StatusOr<std::optional<double>> NumberOption(const ParsedOptions& parsed,
                                                   std::string_view name);
template <typename Int>
absl::StatusOr<std::optional<Int>> IntOption(const ParsedOptions& parsed, std::string_view name) {
  if (!parsed.Has(name)) return std::optional<Int>();
  const std::string text = parsed.Get(name);
  Int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc() && end == text.data() + text.size()) return std::optional<Int>(value);
  return absl::InvalidArgumentError("--" + std::string(name) + " must be a whole number, not '" +
                                    text + "'");
}

// One line per option, or two where the name is long; at most 100 columns.
std::string OptionsHelp(const std::vector<OptionSpec>& specs);

// The candidate that differs from `name` by at most two edits (one for names of up to four
// letters); empty when there is none.
std::string_view ClosestName(std::string_view name,
                             const std::vector<std::string_view>& candidates);

}  // namespace sluice::gateway
