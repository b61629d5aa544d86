// SPDX-License-Identifier: Apache-2.0
#include "worker/weights/json_document.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>
#include <system_error>
#include <unordered_set>
#include <vector>

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "proto/wire/status_macros.h"

namespace sluice::worker {
namespace {

// The parser builds the document on the heap, but walking and freeing a deep one recurses.
absl::Status CheckDepth(absl::string_view text, const std::string& what) {
  int depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') {
        ++i;
      } else if (c == '"') {
        in_string = false;
      }
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      if (++depth > kMaxJsonDepth) {
        return absl::InvalidArgumentError(
            absl::StrCat(what, " is nested deeper than ", kMaxJsonDepth, " levels at byte ", i));
      }
    } else if (c == '}' || c == ']') {
      --depth;
    }
  }
  return absl::OkStatus();
}

// Watches keys go by; nlohmann::json keeps the last of equal keys without a word.
class DuplicateKeys {
 public:
  bool operator()(int depth, nlohmann::json::parse_event_t event, const nlohmann::json& value) {
    const auto level = static_cast<size_t>(depth);
    if (event == nlohmann::json::parse_event_t::object_start) {
      seen_.resize(std::max(seen_.size(), level + 2));
      seen_[level + 1].clear();
    } else if (event == nlohmann::json::parse_event_t::key && duplicate_.empty()) {
      const auto& key = value.get_ref<const std::string&>();
      if (!seen_[level].insert(key).second) duplicate_ = key;
    }
    return true;
  }
  const std::string& duplicate() const { return duplicate_; }

 private:
  std::vector<std::unordered_set<std::string>> seen_;  // by depth
  std::string duplicate_;
};

}  // namespace

absl::StatusOr<std::string> ReadTextFile(const std::string& path, uint64_t max_bytes) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file) {
    const std::string reason = std::generic_category().message(errno);
    const std::string message = absl::StrCat(path, " cannot be read: ", reason);
    return errno == ENOENT ? absl::NotFoundError(message) : absl::InvalidArgumentError(message);
  }
  const std::streamoff size = file.tellg();
  if (size < 0 || static_cast<uint64_t>(size) > max_bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, " has ", size, " bytes; at most ", max_bytes, " are accepted"));
  }
  std::string text(static_cast<size_t>(size), '\0');
  file.seekg(0);
  if (!file.read(text.data(), size)) {
    return absl::InvalidArgumentError(absl::StrCat(path, " could not be read to its end"));
  }
  return text;
}

absl::StatusOr<nlohmann::json> ParseJsonObject(absl::string_view text, const std::string& what) {
  SLUICE_RETURN_IF_ERROR(CheckDepth(text, what));
  DuplicateKeys keys;
  nlohmann::json document;
  try {
    document =
        nlohmann::json::parse(text.begin(), text.end(),
                              [&keys](int depth, nlohmann::json::parse_event_t event,
                                      nlohmann::json& value) { return keys(depth, event, value); });
  } catch (const nlohmann::json::parse_error& error) {
    return absl::InvalidArgumentError(
        absl::StrCat(what, " is not valid JSON at byte ", error.byte));
  } catch (const nlohmann::json::exception& error) {  // a number beyond double's range
    return absl::InvalidArgumentError(absl::StrCat(what, " is not valid JSON: ", error.what()));
  }
  if (!document.is_object()) {
    return absl::InvalidArgumentError(absl::StrCat(what, " is not a JSON object"));
  }
  if (!keys.duplicate().empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(what, " has the key '", keys.duplicate(), "' twice"));
  }
  return document;
}

}  // namespace sluice::worker
