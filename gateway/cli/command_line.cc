// SPDX-License-Identifier: Apache-2.0
#include "gateway/cli/command_line.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace sluice::gateway {
namespace {

constexpr size_t kHelpColumn = 28;
constexpr size_t kHelpWidth = 100;

const OptionSpec* FindSpec(std::string_view name, const std::vector<OptionSpec>& specs) {
  for (const OptionSpec& spec : specs) {
    if (spec.name == name) return &spec;
  }
  return nullptr;
}

absl::Status UnknownOption(std::string_view name, const std::vector<OptionSpec>& specs) {
  std::vector<std::string_view> names;
  names.reserve(specs.size());
  for (const OptionSpec& spec : specs) names.push_back(spec.name);
  std::string message = absl::StrCat("unknown option --", std::string(name));
  if (std::string_view close = ClosestName(name, names); !close.empty()) {
    absl::StrAppend(&message, "; did you mean --", std::string(close), "?");
  } else {
    absl::StrAppend(&message, "; --help lists the options");
  }
  return absl::InvalidArgumentError(message);
}

size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t above = row[j];
      row[j] = std::min({above + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1)});
      diagonal = above;
    }
  }
  return row[b.size()];
}

// Appends `text` broken at spaces; lines after the first start at kHelpColumn.
void AppendWrapped(std::string_view text, std::string* out) {
  size_t column = kHelpColumn;
  bool first = true;
  while (!text.empty()) {
    const size_t space = std::min(text.find(' '), text.size());
    const std::string_view word = text.substr(0, space);
    text.remove_prefix(std::min(space + 1, text.size()));
    if (!first && column + 1 + word.size() > kHelpWidth) {
      out->append("\n").append(kHelpColumn, ' ');
      column = kHelpColumn;
      first = true;
    }
    if (!first) {
      out->push_back(' ');
      ++column;
    }
    out->append(word);
    column += word.size();
    first = false;
  }
}

}  // namespace

std::string ParsedOptions::Get(std::string_view name, std::string_view otherwise) const {
  const auto it = values.find(name);
  return it == values.end() ? std::string(otherwise) : it->second;
}

absl::StatusOr<ParsedOptions> ParseOptions(const std::vector<std::string>& args,
                                           const std::vector<OptionSpec>& specs) {
  ParsedOptions parsed;
  for (size_t i = 0; i < args.size(); ++i) {
    const std::string& arg = args[i];
    if (arg == "--") {
      parsed.positional.insert(parsed.positional.end(),
                               args.begin() + static_cast<std::ptrdiff_t>(i) + 1, args.end());
      break;
    }
    if (arg == "-h" || arg == "--help") {
      parsed.values["help"] = "true";
      continue;
    }
    if (arg.size() < 2 || arg[0] != '-') {
      parsed.positional.push_back(arg);
      continue;
    }
    if (arg.compare(0, 2, "--") != 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("unknown option ", arg, "; options start with two dashes"));
    }
    const size_t equals = arg.find('=');
    const std::string name = arg.substr(2, equals == std::string::npos ? equals : equals - 2);
    const OptionSpec* spec = FindSpec(name, specs);
    if (spec == nullptr) return UnknownOption(name, specs);
    if (equals != std::string::npos) {
      parsed.values[name] = arg.substr(equals + 1);
    } else if (spec->value.empty()) {
      parsed.values[name] = "true";
    } else if (i + 1 < args.size()) {
      parsed.values[name] = args[++i];
    } else {
      return absl::InvalidArgumentError(
          absl::StrCat("--", name, " needs a value: ", std::string(spec->value)));
    }
  }
  return parsed;
}

absl::StatusOr<std::optional<double>> NumberOption(const ParsedOptions& parsed,
                                                   std::string_view name) {
  if (!parsed.Has(name)) return std::optional<double>();
  double value = 0;
  if (absl::SimpleAtod(parsed.Get(name), &value) && std::isfinite(value)) {
    return std::optional<double>(value);
  }
  return absl::InvalidArgumentError(
      absl::StrCat("--", std::string(name), " must be a number, not '", parsed.Get(name), "'"));
}

std::string OptionsHelp(const std::vector<OptionSpec>& specs) {
  std::string out;
  for (const OptionSpec& spec : specs) {
    std::string left = absl::StrCat("  --", std::string(spec.name));
    if (!spec.value.empty()) absl::StrAppend(&left, " ", std::string(spec.value));
    out.append(left);
    if (left.size() + 2 > kHelpColumn) {
      out.append("\n").append(kHelpColumn, ' ');
    } else {
      out.append(kHelpColumn - left.size(), ' ');
    }
    AppendWrapped(spec.help, &out);
    out.push_back('\n');
  }
  return out;
}

std::string_view ClosestName(std::string_view name,
                             const std::vector<std::string_view>& candidates) {
  std::string_view best;
  size_t best_distance = name.size() <= 4 ? 2 : 3;
  for (std::string_view candidate : candidates) {
    const size_t distance = EditDistance(name, candidate);
    if (distance < best_distance) {
      best = candidate;
      best_distance = distance;
    }
  }
  return best;
}

}  // namespace sluice::gateway
