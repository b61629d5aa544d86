// SPDX-License-Identifier: Apache-2.0
// A blocking HTTP/1.1 client over a raw socket for tests: it sends exactly the bytes it is given,
// well formed or not, and reads answers strictly. Every wait ends after a generous timeout, so that
// a broken server fails a test instead of hanging it. One thread.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace sluice::testing {

struct HttpReply {
  int status = 0;
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;                            // chunks joined
};

class HttpClient {
 public:
  // Connects to 127.0.0.1, or takes over a connected socket. receive_buffer_bytes: SO_RCVBUF, 0 for
  // the system's.
  explicit HttpClient(int port, int receive_buffer_bytes = 0);
  static HttpClient Adopt(int fd) { return HttpClient(fd, Adopted{}); }
  ~HttpClient() { Close(); }
  HttpClient(HttpClient&& other) noexcept;
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  // False when the server has closed the connection.
  bool Send(std::string_view bytes);
  bool Post(std::string_view path, std::string_view body, std::string_view more_headers = {});
  bool Get(std::string_view path, std::string_view more_headers = {});

  // One whole answer (interim 100s skipped); nothing when the connection ends or stalls first, or
  // the answer is not HTTP. head_only: the answer to a HEAD.
  std::optional<HttpReply> Read(bool head_only = false);
  // Like Read, but returns after the head; the body is then read by ReadPiece.
  std::optional<HttpReply> ReadHead();
  // The next chunk of a chunked body; empty at its proper end, nothing when it was cut short.
  std::optional<std::string> ReadPiece();
  // Waits for `text` to have arrived anywhere in the raw stream that is still unread.
  bool WaitFor(std::string_view text);
  // Reads and drops everything; true when the server closed in time.
  bool ReadsToEnd();
  // True when the server has closed and nothing is left to read.
  bool AtEnd();

  void ShutdownSend();
  void Close();
  // Closes with a reset instead of an orderly end.
  void Reset();

 private:
  struct Adopted {};
  HttpClient(int fd, Adopted) : fd_(fd) {}
  bool Fill();  // more bytes into buffer_; false at the end or after the timeout
  std::optional<std::string> ReadLine();
  std::optional<std::string> ReadBytes(size_t n);

  int fd_ = -1;
  std::string buffer_;
};

// One request on a connection of its own.
std::optional<HttpReply> HttpPost(int port, std::string_view path, std::string_view body,
                                  std::string_view more_headers = {});
std::optional<HttpReply> HttpGet(int port, std::string_view path,
                                 std::string_view more_headers = {});

}  // namespace sluice::testing
