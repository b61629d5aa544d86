// SPDX-License-Identifier: Apache-2.0
#include "gateway/server/response_queue.h"

#include <algorithm>
#include <ctime>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gateway/server/error_response.h"

namespace sluice::gateway {
namespace {

std::string_view ReasonPhrase(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 204:
      return "No Content";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 413:
      return "Content Too Large";
    case 422:
      return "Unprocessable Content";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 499:
      return "Client Closed Request";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    default:
      return "Status";
  }
}

std::string Date() {
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  gmtime_r(&now, &utc);
  char text[40];
  const size_t n = std::strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", &utc);
  return std::string(text, n);
}

// A header value comes from our code or from a request: a line break in it would let
// a client write headers of its own.
bool IsSafeHeaderValue(std::string_view value) {
  for (const char c : value) {
    if (static_cast<unsigned char>(c) < 0x20 && c != '\t') return false;
  }
  return true;
}

void AppendHead(const HttpResponse& response, std::string_view request_id, bool keep_alive,
                std::string* out) {
  absl::StrAppend(out, "HTTP/1.1 ", response.status, " ",
                  std::string(ReasonPhrase(response.status)), "\r\nDate: ", Date(), "\r\n");
  if (response.status != 204) absl::StrAppend(out, "Content-Type: ", response.content_type, "\r\n");
  for (const auto& [name, value] : response.headers) {
    if (IsSafeHeaderValue(value)) absl::StrAppend(out, name, ": ", value, "\r\n");
  }
  if (IsSafeHeaderValue(request_id)) {
    absl::StrAppend(out, "X-Request-Id: ", std::string(request_id), "\r\n");
  }
  absl::StrAppend(out, "Connection: ", keep_alive ? "keep-alive" : "close", "\r\n");
}

void AppendChunk(std::string_view bytes, std::string* out) {
  absl::StrAppend(out, absl::Hex(bytes.size()), "\r\n");
  out->append(bytes);
  out->append("\r\n");
}

}  // namespace

std::string SerializeResponse(const HttpResponse& response, std::string_view request_id,
                              bool head_only, bool keep_alive) {
  std::string out;
  AppendHead(response, request_id, keep_alive, &out);
  if (response.status != 204) {
    absl::StrAppend(&out, "Content-Length: ", response.body.size(), "\r\n");
  }
  out += "\r\n";
  if (!head_only && response.status != 204) out += response.body;
  return out;
}

ResponseQueue::ResponseQueue(HttpRequest request, ResponseFraming framing,
                             std::function<void()> wake)
    : request_(std::move(request)),
      framing_(framing),
      wake_(std::move(wake)),
      keep_alive_(framing.keep_alive) {}

void ResponseQueue::AppendLocked(std::string bytes) {
  if (unsent_begin_ == unsent_.size()) {
    unsent_ = std::move(bytes);
    unsent_begin_ = 0;
  } else {
    unsent_ += bytes;
  }
  // Waking under the lock: Detach cannot let the connection's executor die in between.
  if (wake_) wake_();
}

void ResponseQueue::Respond(HttpResponse response) {
  std::lock_guard<std::mutex> lock(mu_);
  if (started_ || gone_) return;
  started_ = true;
  complete_ = true;
  on_gone_ = nullptr;
  AppendLocked(
      SerializeResponse(response, request_.identity.shown_id, framing_.head_only, keep_alive_));
}

void ResponseQueue::StartStream(HttpResponse head) {
  std::lock_guard<std::mutex> lock(mu_);
  if (started_ || gone_) return;
  started_ = true;
  chunked_ = !framing_.http_1_0;
  keep_alive_ = keep_alive_ && chunked_;
  std::string bytes;
  AppendHead(head, request_.identity.shown_id, keep_alive_, &bytes);
  if (chunked_) bytes += "Transfer-Encoding: chunked\r\n";
  bytes += "\r\n";
  if (!head.body.empty() && !framing_.head_only) {
    if (chunked_) {
      AppendChunk(head.body, &bytes);
    } else {
      bytes += head.body;
    }
  }
  AppendLocked(std::move(bytes));
}

void ResponseQueue::Write(std::string_view bytes) {
  if (bytes.empty()) return;  // an empty chunk would end the body
  {
    std::lock_guard<std::mutex> lock(mu_);
    if (!started_ || complete_ || gone_ || framing_.head_only) return;
    if (unsent_.size() - unsent_begin_ + bytes.size() <= framing_.max_unsent_bytes) {
      std::string framed;
      if (chunked_) {
        AppendChunk(bytes, &framed);
      } else {
        framed = bytes;
      }
      AppendLocked(std::move(framed));
      return;
    }
    gone_ = true;
    if (wake_) wake_();
  }
  TellGone();
}

void ResponseQueue::FinishStream() {
  std::lock_guard<std::mutex> lock(mu_);
  if (!started_ || complete_ || gone_) return;
  complete_ = true;
  on_gone_ = nullptr;
  AppendLocked(chunked_ && !framing_.head_only ? "0\r\n\r\n" : "");
}

void ResponseQueue::OnGone(std::function<void()> callback) {
  {
    std::lock_guard<std::mutex> lock(mu_);
    if (complete_) return;
    if (!gone_) {
      on_gone_ = std::move(callback);
      return;
    }
  }
  callback();
}

ResponseQueue::Batch ResponseQueue::Take(size_t max_bytes) {
  std::lock_guard<std::mutex> lock(mu_);
  Batch batch;
  const size_t n = std::min(max_bytes, unsent_.size() - unsent_begin_);
  batch.bytes.assign(unsent_, unsent_begin_, n);
  unsent_begin_ += n;
  if (unsent_begin_ == unsent_.size()) {
    unsent_.clear();
    unsent_begin_ = 0;
  } else if (unsent_begin_ > framing_.max_unsent_bytes) {
    unsent_.erase(0, unsent_begin_);  // else a client that never quite catches up would keep it all
    unsent_begin_ = 0;
  }
  batch.complete = complete_ && unsent_.empty();
  batch.gone = gone_ || (cut_ && batch.bytes.empty());
  return batch;
}

void ResponseQueue::Detach() {
  {
    std::lock_guard<std::mutex> lock(mu_);
    wake_ = nullptr;
    gone_ = true;
  }
  TellGone();
}

void ResponseQueue::Abandon() {
  HttpResponse response = ErrorResponse(500, "the request was dropped without an answer");
  std::unique_lock<std::mutex> lock(mu_);
  if (complete_ || gone_) return;
  if (started_) {
    // Too late for a status: the client gets what is queued and sees the stream cut short.
    cut_ = true;
    if (wake_) wake_();
    return;
  }
  lock.unlock();
  Respond(std::move(response));
}

bool ResponseQueue::keep_alive() const {
  std::lock_guard<std::mutex> lock(mu_);
  return keep_alive_ && complete_;
}

void ResponseQueue::TellGone() {
  std::function<void()> callback;
  {
    std::lock_guard<std::mutex> lock(mu_);
    callback = std::move(on_gone_);
    on_gone_ = nullptr;
  }
  if (callback) callback();
}

}  // namespace sluice::gateway
