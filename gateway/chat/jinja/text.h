// SPDX-License-Identifier: Apache-2.0
// Text: UTF-8 bytes that know which of them a user brought in. Everything a template does to
// strings (joining, cutting, changing case) goes through this class, so that the rendered prompt
// can say where control tokens may be recognised: in bytes written as literals of the template, and
// nowhere else. A value; any thread.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace sluice::gateway::jinja {

// Who wrote a byte. Whatever is not a literal of the template (or a special token of the model
// folder) is a user's: data, and also what the engine itself writes, such as the braces of tojson.
enum class Origin { kTemplate, kUser };

class Text {
 public:
  struct Span {
    size_t begin = 0;
    size_t end = 0;  // exclusive
    bool operator==(const Span&) const = default;
  };

  Text() = default;
  Text(std::string bytes, Origin origin);

  const std::string& bytes() const { return bytes_; }
  std::string_view view() const { return bytes_; }
  size_t size() const { return bytes_.size(); }
  bool empty() const { return bytes_.empty(); }
  // The user's bytes: sorted, disjoint, not touching.
  const std::vector<Span>& user_spans() const { return user_spans_; }
  bool has_user_bytes() const { return !user_spans_.empty(); }
  // Who wrote the byte at pos. REQUIRES: pos < size().
  Origin OriginAt(size_t pos) const;

  void Append(std::string_view bytes, Origin origin);
  void Append(const Text& other) { Append(other, 0, other.size()); }
  // Appends other[begin, end).
  void Append(const Text& other, size_t begin, size_t end);
  Text Slice(size_t begin, size_t end) const;
  void Reserve(size_t bytes) { bytes_.reserve(bytes); }
  std::string TakeBytes() && { return std::move(bytes_); }

 private:
  void AppendSpan(size_t begin, size_t end);

  std::string bytes_;
  std::vector<Span> user_spans_;
};

}  // namespace sluice::gateway::jinja
