// SPDX-License-Identifier: Apache-2.0
#include "tests/support/http_client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cctype>
#include <cstdlib>
#include <utility>

namespace sluice::testing {
namespace {

constexpr int kTimeoutMs = 60'000;

std::string Lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return out;
}

}  // namespace

HttpClient::HttpClient(int port, int receive_buffer_bytes) {
  fd_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (receive_buffer_bytes > 0) {
    setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer_bytes, sizeof(receive_buffer_bytes));
  }
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) Close();
}

HttpClient::HttpClient(HttpClient&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), buffer_(std::move(other.buffer_)) {}

bool HttpClient::Send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return true;
}

bool HttpClient::Post(std::string_view path, std::string_view body, std::string_view more_headers) {
  std::string head = "POST " + std::string(path) +
                     " HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n" +
                     std::string(more_headers) + "Content-Length: " + std::to_string(body.size()) +
                     "\r\n\r\n";
  return Send(head + std::string(body));
}

bool HttpClient::Get(std::string_view path, std::string_view more_headers) {
  return Send("GET " + std::string(path) + " HTTP/1.1\r\nHost: test\r\n" +
              std::string(more_headers) + "\r\n");
}

bool HttpClient::Fill() {
  if (fd_ < 0) return false;
  pollfd poll_fd{fd_, POLLIN, 0};
  if (poll(&poll_fd, 1, kTimeoutMs) <= 0) return false;
  char bytes[16384];
  const ssize_t n = recv(fd_, bytes, sizeof(bytes), 0);
  if (n <= 0) return false;
  buffer_.append(bytes, static_cast<size_t>(n));
  return true;
}

std::optional<std::string> HttpClient::ReadLine() {
  size_t end;
  while ((end = buffer_.find("\r\n")) == std::string::npos) {
    if (!Fill()) return std::nullopt;
  }
  std::string line = buffer_.substr(0, end);
  buffer_.erase(0, end + 2);
  return line;
}

std::optional<std::string> HttpClient::ReadBytes(size_t n) {
  while (buffer_.size() < n) {
    if (!Fill()) return std::nullopt;
  }
  std::string bytes = buffer_.substr(0, n);
  buffer_.erase(0, n);
  return bytes;
}

std::optional<HttpReply> HttpClient::ReadHead() {
  for (;;) {
    HttpReply reply;
    std::optional<std::string> line = ReadLine();
    if (!line || line->rfind("HTTP/1.1 ", 0) != 0) return std::nullopt;
    reply.status = std::atoi(line->c_str() + 9);
    while ((line = ReadLine()) && !line->empty()) {
      const size_t colon = line->find(": ");
      if (colon == std::string::npos) return std::nullopt;
      reply.headers[Lower(line->substr(0, colon))] = line->substr(colon + 2);
    }
    if (!line) return std::nullopt;
    if (reply.status != 100) return reply;
  }
}

std::optional<std::string> HttpClient::ReadPiece() {
  const std::optional<std::string> size = ReadLine();
  if (!size) return std::nullopt;
  std::optional<std::string> piece = ReadBytes(std::strtoul(size->c_str(), nullptr, 16));
  const std::optional<std::string> end = ReadLine();
  if (!piece || !end || !end->empty()) return std::nullopt;
  return piece;
}

std::optional<HttpReply> HttpClient::Read(bool head_only) {
  std::optional<HttpReply> reply = ReadHead();
  if (!reply || head_only || reply->status == 204) return reply;
  if (const auto length = reply->headers.find("content-length"); length != reply->headers.end()) {
    std::optional<std::string> body = ReadBytes(std::strtoul(length->second.c_str(), nullptr, 10));
    if (!body) return std::nullopt;
    reply->body = *std::move(body);
    return reply;
  }
  if (reply->headers.count("transfer-encoding") > 0) {
    for (;;) {
      const std::optional<std::string> piece = ReadPiece();
      if (!piece) return std::nullopt;
      if (piece->empty()) return reply;
      reply->body += *piece;
    }
  }
  while (Fill()) {
  }
  reply->body = std::exchange(buffer_, {});
  return reply;
}

bool HttpClient::WaitFor(std::string_view text) {
  while (buffer_.find(text) == std::string::npos) {
    if (!Fill()) return false;
  }
  return true;
}

bool HttpClient::ReadsToEnd() {
  while (Fill()) {
  }
  buffer_.clear();
  return AtEnd();
}

bool HttpClient::AtEnd() {
  if (!buffer_.empty() || fd_ < 0) return false;
  pollfd poll_fd{fd_, POLLIN, 0};
  if (poll(&poll_fd, 1, kTimeoutMs) <= 0) return false;
  char byte;
  return recv(fd_, &byte, 1, MSG_PEEK) <= 0;
}

void HttpClient::ShutdownSend() { shutdown(fd_, SHUT_WR); }

void HttpClient::Close() {
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
}

void HttpClient::Reset() {
  const linger now{1, 0};
  setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
  Close();
}

std::optional<HttpReply> HttpPost(int port, std::string_view path, std::string_view body,
                                  std::string_view more_headers) {
  HttpClient client(port);
  if (!client.Post(path, body, more_headers)) return std::nullopt;
  return client.Read();
}

std::optional<HttpReply> HttpGet(int port, std::string_view path, std::string_view more_headers) {
  HttpClient client(port);
  if (!client.Get(path, more_headers)) return std::nullopt;
  return client.Read();
}

}  // namespace sluice::testing
