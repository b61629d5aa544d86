// SPDX-License-Identifier: Apache-2.0
// How a bench ends that is asked for its usage, or given what it does not take.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <string_view>

namespace sluice {

// --help: usage on standard output, exit code 0. Any other argument: standard error, 2.
[[noreturn]] inline void EndWithUsage(const char* usage, std::string_view argument) {
  const bool asked = argument == "--help" || argument == "-h";
  if (!asked) {
    std::fprintf(stderr, "unknown argument %.*s\n", static_cast<int>(argument.size()),
                 argument.data());
  }
  std::fputs(usage, asked ? stdout : stderr);
  std::exit(asked ? 0 : 2);
}

}  // namespace sluice
