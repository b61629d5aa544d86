// SPDX-License-Identifier: Apache-2.0
// CannedServer: answers each connection with the next of its canned byte strings, and keeps what it
// was sent. For tests of HTTP clients; one thread of its own.
#pragma once

#include <sys/socket.h>
#include <unistd.h>

#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/support/local_listener.h"

namespace sluice::testing {

class CannedServer {
 public:
  // `hold_open`: after its answer a connection stays open until the client closes it.
  explicit CannedServer(std::vector<std::string> answers, bool hold_open = false)
      : answers_(std::move(answers)), hold_open_(hold_open) {
    thread_ = std::thread([this] { Serve(); });
  }
  ~CannedServer() {
    shutdown(listener_.fd(), SHUT_RDWR);
    thread_.join();
  }

  std::string url() const { return "http://" + listener_.address(); }
  std::vector<std::string> requests() {
    std::lock_guard<std::mutex> lock(mu_);
    return requests_;
  }

 private:
  void Serve() {
    for (const std::string& answer : answers_) {
      const int fd = accept(listener_.fd(), nullptr, nullptr);
      if (fd < 0) return;
      std::string request = ReadRequest(fd);
      {
        std::lock_guard<std::mutex> lock(mu_);
        requests_.push_back(std::move(request));
      }
      (void)!write(fd, answer.data(), answer.size());
      char byte;
      while (hold_open_ && read(fd, &byte, 1) > 0) {
      }
      close(fd);
    }
  }

  static std::string ReadRequest(int fd) {
    std::string text;
    char buffer[4096];
    for (;;) {
      const size_t end = text.find("\r\n\r\n");
      if (end != std::string::npos) {
        const size_t length = text.find("Content-Length: ");
        const size_t body = length > end ? 0 : std::stoul(text.substr(length + 16));
        if (text.size() >= end + 4 + body) return text;
      }
      const ssize_t got = read(fd, buffer, sizeof(buffer));
      if (got <= 0) return text;
      text.append(buffer, static_cast<size_t>(got));
    }
  }

  const std::vector<std::string> answers_;
  const bool hold_open_;
  const LocalListener listener_;
  std::mutex mu_;
  std::vector<std::string> requests_;  // guarded by mu_
  std::thread thread_;
};

}  // namespace sluice::testing
