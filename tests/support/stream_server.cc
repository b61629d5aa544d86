// SPDX-License-Identifier: Apache-2.0
#include "tests/support/stream_server.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <utility>

namespace sluice::testing {
namespace {

std::string Chunk(const std::string& payload) {
  const std::string event = "data: " + payload + "\n\n";
  char size[16];
  snprintf(size, sizeof(size), "%zx\r\n", event.size());
  return size + event + "\r\n";
}

}  // namespace

struct StreamServer::Connection {
  int fd = -1;
  std::string input;
  uint64_t number = 0;
  StreamAnswer answer;
  size_t next_event = 0;
  bool streaming = false;
  Clock::time_point next_send;
  std::vector<Clock::time_point> sent;
};

StreamServer::StreamServer(Script script)
    : script_(std::move(script)), listener_(SOCK_NONBLOCK, /*backlog=*/4096) {
  epoll_ = epoll_create1(EPOLL_CLOEXEC);
  stop_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  for (int fd : {listener_.fd(), stop_}) {
    epoll_event event{EPOLLIN, {}};
    event.data.fd = fd;
    epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event);
  }
  thread_ = std::thread([this] { Serve(); });
}

StreamServer::~StreamServer() {
  const uint64_t one = 1;
  (void)!write(stop_, &one, sizeof(one));
  thread_.join();
  for (const auto& [fd, connection] : open_) close(fd);
  for (int fd : {epoll_, stop_}) close(fd);
}

std::vector<std::string> StreamServer::requests() const {
  std::lock_guard<std::mutex> lock(mu_);
  return requests_;
}

std::vector<StreamServer::Clock::time_point> StreamServer::send_times(uint64_t number) const {
  std::lock_guard<std::mutex> lock(mu_);
  return sent_.at(number);
}

int StreamServer::connections() const {
  std::lock_guard<std::mutex> lock(mu_);
  return connections_;
}

void StreamServer::Serve() {
  // Paces finer than epoll_wait's milliseconds.
  const int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
  epoll_event timer_event{EPOLLIN, {}};
  timer_event.data.fd = timer;
  epoll_ctl(epoll_, EPOLL_CTL_ADD, timer, &timer_event);
  epoll_event events[256];
  for (;;) {
    if (!due_.empty()) {
      const auto at = due_.begin()->first.time_since_epoch();
      itimerspec spec{};
      spec.it_value.tv_sec = std::chrono::duration_cast<std::chrono::seconds>(at).count();
      spec.it_value.tv_nsec = (at % std::chrono::seconds(1)).count();
      timerfd_settime(timer, TFD_TIMER_ABSTIME, &spec, nullptr);
    }
    const int count = epoll_wait(epoll_, events, 256, -1);
    for (int i = 0; i < count; ++i) {
      const int fd = events[i].data.fd;
      if (fd == stop_) {
        close(timer);
        return;
      }
      if (fd == listener_.fd()) {
        Accept();
      } else if (fd == timer) {
        uint64_t expirations;
        (void)!read(timer, &expirations, sizeof(expirations));
      } else if (const auto it = open_.find(fd); it != open_.end() && !Receive(*it->second)) {
        Close(fd);
      }
    }
    const Clock::time_point now = Clock::now();
    while (!due_.empty() && due_.begin()->first <= now) {
      const int fd = due_.begin()->second;
      due_.erase(due_.begin());
      const auto it = open_.find(fd);
      if (it != open_.end() && it->second->streaming && !SendDue(*it->second, now)) Close(fd);
    }
  }
}

void StreamServer::Accept() {
  for (;;) {
    const int fd = accept4(listener_.fd(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) return;
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    epoll_event event{EPOLLIN, {}};
    event.data.fd = fd;
    epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event);
    open_[fd] = std::make_unique<Connection>();
    open_[fd]->fd = fd;
    std::lock_guard<std::mutex> lock(mu_);
    ++connections_;
  }
}

bool StreamServer::Receive(Connection& connection) {
  char buffer[16384];
  for (;;) {
    const ssize_t got = read(connection.fd, buffer, sizeof(buffer));
    if (got < 0 && errno == EAGAIN) break;
    if (got <= 0) return false;
    connection.input.append(buffer, static_cast<size_t>(got));
  }
  std::string& input = connection.input;
  const size_t head = input.find("\r\n\r\n");
  if (head == std::string::npos) return true;
  const size_t length = input.find("Content-Length: ");
  const size_t body = length > head ? 0 : std::stoul(input.substr(length + 16));
  if (input.size() < head + 4 + body) return true;
  const size_t space = input.find(' ');
  const std::string target = input.substr(space + 1, input.find(' ', space + 1) - space - 1);
  {
    std::lock_guard<std::mutex> lock(mu_);
    connection.number = requests_.size();
    requests_.push_back(input);
    sent_.emplace_back();
  }
  connection.answer = script_(connection.number, target, input.substr(head + 4, body));
  input.erase(0, head + 4 + body);
  const StreamAnswer& answer = connection.answer;
  if (answer.hang) return true;
  const std::string start = "HTTP/1.1 " + std::to_string(answer.status) + " X\r\n" + answer.headers;
  if (answer.events == nullptr) {
    return Write(connection, start + "Content-Length: " + std::to_string(answer.body.size()) +
                                 "\r\n\r\n" + answer.body) &&
           !answer.cut_off;
  }
  connection.streaming = true;
  connection.next_event = 0;
  connection.sent.clear();
  connection.next_send = Clock::now();
  return Write(connection, start +
                               "Content-Type: text/event-stream\r\n"
                               "Transfer-Encoding: chunked\r\n\r\n") &&
         SendDue(connection, connection.next_send);
}

bool StreamServer::SendDue(Connection& connection, Clock::time_point now) {
  const StreamAnswer& answer = connection.answer;
  const auto& events = *answer.events;
  while (connection.next_event < events.size()) {
    if (connection.next_send > now) {
      due_.emplace(connection.next_send, connection.fd);
      return true;
    }
    connection.sent.push_back(Clock::now());
    if (!Write(connection, Chunk(events[connection.next_event++]))) return false;
    connection.next_send += answer.interval;
  }
  connection.streaming = false;
  {
    std::lock_guard<std::mutex> lock(mu_);
    sent_[connection.number] = std::move(connection.sent);
  }
  return !answer.cut_off && Write(connection, "0\r\n\r\n");
}

bool StreamServer::Write(Connection& connection, const std::string& bytes) {
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t written =
        send(connection.fd, bytes.data() + done, bytes.size() - done, MSG_NOSIGNAL);
    if (written > 0) {
      done += static_cast<size_t>(written);
    } else if (errno == EAGAIN) {
      std::this_thread::yield();  // a client that reads slowly; tests have none that never reads
    } else {
      return false;
    }
  }
  return true;
}

void StreamServer::Close(int fd) {
  open_.erase(fd);
  close(fd);
}

}  // namespace sluice::testing
