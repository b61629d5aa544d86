// SPDX-License-Identifier: Apache-2.0
// Ranks as processes, for tests and benches of collectives that need it: the body runs once a rank
// in a forked process, and what one rank publishes all can read. The parent must not have used CUDA
// before, which does not survive a fork. REQUIRES: one thread.
#pragma once

#include <functional>
#include <string>

namespace sluice {

// Short texts between ranks, by number, in memory that they share: such as unique ids.
class SharedTexts {
 public:
  SharedTexts();
  ~SharedTexts();
  SharedTexts(const SharedTexts&) = delete;
  SharedTexts& operator=(const SharedTexts&) = delete;

  static constexpr int kMaxTexts = 256;
  static constexpr size_t kMaxBytes = 512;

  // Once a number.
  void Publish(int number, const std::string& text);
  // Waits until it is published.
  std::string Wait(int number) const;

 private:
  struct Entry;
  Entry* const entries_;
};

// Calls body(rank) in world_size processes, whose exit code it is. The first other than 0 ends the
// remaining processes (SIGKILL) and is returned: 128 plus the signal for a process that one ended.
int RunRankProcesses(int world_size, const std::function<int(int rank)>& body);

}  // namespace sluice
