// SPDX-License-Identifier: Apache-2.0
#include "tests/support/rank_processes.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <vector>

namespace sluice {

struct SharedTexts::Entry {
  std::atomic<size_t> size_and_one{0};  // 0: not published
  char bytes[kMaxBytes];
};

SharedTexts::SharedTexts()
    : entries_(static_cast<Entry*>(mmap(nullptr, sizeof(Entry) * kMaxTexts, PROT_READ | PROT_WRITE,
                                        MAP_SHARED | MAP_ANONYMOUS, -1, 0))) {
  if (entries_ == MAP_FAILED) std::abort();
  for (int i = 0; i < kMaxTexts; ++i) new (&entries_[i]) Entry;
}

SharedTexts::~SharedTexts() { munmap(entries_, sizeof(Entry) * kMaxTexts); }

void SharedTexts::Publish(int number, const std::string& text) {
  if (number >= kMaxTexts || text.size() > kMaxBytes) std::abort();
  Entry& entry = entries_[number];
  std::memcpy(entry.bytes, text.data(), text.size());
  entry.size_and_one.store(text.size() + 1, std::memory_order_release);
}

std::string SharedTexts::Wait(int number) const {
  if (number >= kMaxTexts) std::abort();
  const Entry& entry = entries_[number];
  size_t size = 0;
  while ((size = entry.size_and_one.load(std::memory_order_acquire)) == 0) usleep(100);
  return std::string(entry.bytes, size - 1);
}

int RunRankProcesses(int world_size, const std::function<int(int rank)>& body) {
  std::fflush(nullptr);  // children must not inherit unwritten text
  std::vector<pid_t> children;
  for (int rank = 0; rank < world_size; ++rank) {
    const pid_t child = fork();
    if (child < 0) std::abort();
    if (child == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      const int code = body(rank);
      std::fflush(nullptr);
      _exit(code);
    }
    children.push_back(child);
  }
  int result = 0;
  for (int ended = 0; ended < world_size; ++ended) {
    int status = 0;
    if (wait(&status) < 0) std::abort();
    const int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    if (code == 0 || result != 0) continue;
    result = code;
    // Some have ended and are reaped, but this process has started no other since.
    for (const pid_t child : children) kill(child, SIGKILL);
  }
  return result;
}

}  // namespace sluice
