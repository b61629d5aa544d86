// SPDX-License-Identifier: Apache-2.0
#include "gateway/cli/bench/progress.h"

#include <sys/ioctl.h>

#include <cstddef>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace sluice::gateway {
namespace {

constexpr double kTerminalInterval_s = 0.5;
constexpr double kPlainInterval_s = 10;
constexpr char kEraseLine[] = "\r\033[K";

// A line that wraps could not be erased.
size_t Columns(int fd) {
  winsize size{};
  return ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 1 ? size.ws_col - 1u : 79;
}

}  // namespace

ProgressLine::ProgressLine(const Terminal& terminal, int fd, std::string title)
    // Without escape sequences a line cannot renew itself.
    : is_tty_(terminal.stderr_is_tty && terminal.color),
      fd_(fd),
      title_(std::move(title)),
      next_s_(is_tty_ ? kTerminalInterval_s : kPlainInterval_s) {}

ProgressLine::~ProgressLine() {
  if (is_tty_ && shown_) WriteAll(fd_, kEraseLine);
}

void ProgressLine::Show(const LoadProgress& progress) {
  const double now = progress.elapsed.count();
  if (now < next_s_) return;
  next_s_ = now + (is_tty_ ? kTerminalInterval_s : kPlainInterval_s);
  const std::string text = ProgressText(title_, last_, progress);
  WriteAll(fd_, is_tty_ ? absl::StrCat(kEraseLine, text.substr(0, Columns(fd_)))
                        : absl::StrCat(text, "\n"));
  last_ = progress;
  shown_ = true;
}

std::string ProgressText(const std::string& title, const LoadProgress& last,
                         const LoadProgress& now) {
  const double seconds = now.elapsed.count() - last.elapsed.count();
  const double rate = seconds > 0 ? static_cast<double>(now.chunks - last.chunks) / seconds : 0;
  return absl::StrFormat(
      "%s %.1f s: %d sent, %d running, %d finished, %d refused, %d failed, %.1f chunks/s", title,
      now.elapsed.count(), now.sent, now.running, now.finished, now.refused, now.failed, rate);
}

}  // namespace sluice::gateway
