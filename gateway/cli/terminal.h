// SPDX-License-Identifier: Apache-2.0
// What the terminal can show. Decided once in main from isatty, TERM and NO_COLOR, passed down by
// value, so that nothing else in the folder reads the environment. Immutable.
#pragma once

#include <string>
#include <string_view>

namespace sluice::gateway {

struct Terminal {
  bool stdin_is_tty = false;
  bool stdout_is_tty = false;
  bool stderr_is_tty = false;
  bool color = false;  // escape sequences may be written to a tty

  std::string_view Dim() const { return color ? "\033[2m" : ""; }
  std::string_view Bold() const { return color ? "\033[1m" : ""; }
  std::string_view Red() const { return color ? "\033[31m" : ""; }
  std::string_view Reset() const { return color ? "\033[0m" : ""; }
};

// `term` and `no_color` are the values of TERM and NO_COLOR, null when unset. An unset or "dumb"
// TERM, and any non-empty NO_COLOR (no-color.org), mean plain text.
Terminal DetectTerminal(const char* term, const char* no_color);

// What may be shown on a terminal of a model's text: C0 and C1 controls other than newline and tab
// are dropped, or an answer could move the cursor, retitle the window or paste into the shell.
// `text` is UTF-8 cut between characters.
std::string WithoutControls(std::string_view text);

// Writes all of `text` to a file descriptor; false when the reader has gone.
bool WriteAll(int fd, std::string_view text);

}  // namespace sluice::gateway
