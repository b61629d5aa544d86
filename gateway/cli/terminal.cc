// SPDX-License-Identifier: Apache-2.0
#include "gateway/cli/terminal.h"

#include <unistd.h>

#include <cerrno>

namespace sluice::gateway {

Terminal DetectTerminal(const char* term, const char* no_color) {
  Terminal terminal;
  terminal.stdin_is_tty = isatty(STDIN_FILENO) == 1;
  terminal.stdout_is_tty = isatty(STDOUT_FILENO) == 1;
  terminal.stderr_is_tty = isatty(STDERR_FILENO) == 1;
  const bool capable = term != nullptr && *term != '\0' && std::string_view(term) != "dumb";
  const bool refused = no_color != nullptr && *no_color != '\0';
  terminal.color = capable && !refused && terminal.stdout_is_tty && terminal.stderr_is_tty;
  return terminal;
}

std::string WithoutControls(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if (byte == 0x7f || (byte < 0x20 && byte != '\n' && byte != '\t')) continue;
    // U+0080 to U+009F are C2 80 to C2 9F.
    if (byte == 0xc2 && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) < 0xa0) {
      ++i;
      continue;
    }
    out.push_back(text[i]);
  }
  return out;
}

bool WriteAll(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = write(fd, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return false;
    text.remove_prefix(static_cast<size_t>(written));
  }
  return true;
}

}  // namespace sluice::gateway
