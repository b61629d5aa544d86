// SPDX-License-Identifier: Apache-2.0
// StreamServer: an HTTP/1.1 server of many connections at once that streams scripted server-sent
// events at a scripted pace, and notes when it sent each. For tests and benches of clients that
// hold many streams; it knows nothing of models. One thread of its own.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/local_listener.h"

namespace sluice::testing {

struct StreamAnswer {
  int status = 200;
  std::string headers;  // further ones, each with its CRLF
  std::string body;     // of an answer that is no stream, which is any other status than 200
  // Payloads, sent as one "data: ...\n\n" chunk each.
  std::shared_ptr<const std::vector<std::string>> events;
  std::chrono::microseconds interval{0};  // between events; 0: all at once, each in its own write
  bool cut_off = false;                   // close the connection where the answer's end would be
  bool hang = false;                      // send nothing at all
};

class StreamServer {
 public:
  using Clock = std::chrono::steady_clock;
  // `number` counts the requests. Called on the server's thread.
  using Script = std::function<StreamAnswer(uint64_t number, const std::string& target,
                                            const std::string& body)>;

  explicit StreamServer(Script script);
  ~StreamServer();
  StreamServer(const StreamServer&) = delete;
  StreamServer& operator=(const StreamServer&) = delete;

  int port() const { return listener_.port(); }
  std::string url() const { return "http://" + listener_.address(); }
  // Heads and bodies, in the order of arrival.
  std::vector<std::string> requests() const;
  // Just before each event of this request was written. REQUIRES: the request has ended.
  std::vector<Clock::time_point> send_times(uint64_t number) const;
  // Connections accepted since the start.
  int connections() const;

 private:
  struct Connection;
  void Serve();
  void Accept();
  // Each returns false when the connection is over.
  bool Receive(Connection& connection);
  bool SendDue(Connection& connection, Clock::time_point now);
  bool Write(Connection& connection, const std::string& bytes);
  void Close(int fd);

  const Script script_;
  const LocalListener listener_;
  int epoll_ = -1;
  int stop_ = -1;                                    // an eventfd
  std::map<int, std::unique_ptr<Connection>> open_;  // of the server's thread
  std::multimap<Clock::time_point, int> due_;        // when connections send next
  mutable std::mutex mu_;
  std::vector<std::string> requests_;                 // guarded by mu_
  std::vector<std::vector<Clock::time_point>> sent_;  // guarded by mu_
  int connections_ = 0;                               // guarded by mu_
  std::thread thread_;
};

}  // namespace sluice::testing
