// SPDX-License-Identifier: Apache-2.0
#include "gateway/server/api_keys.h"

#include <fstream>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace sluice::gateway {
namespace {

constexpr std::string_view kScheme = "bearer ";

bool EqualInConstantTime(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  unsigned char difference = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    difference = static_cast<unsigned char>(
        difference | (static_cast<unsigned char>(a[i]) ^ static_cast<unsigned char>(b[i])));
  }
  return difference == 0;
}

}  // namespace

absl::StatusOr<ApiKeys> ApiKeys::Load(const std::string& path) {
  std::ifstream file(path);
  if (!file) return absl::NotFoundError(absl::StrCat("--api-keys-file: cannot read ", path));
  ApiKeys keys;
  std::string line;
  for (int number = 1; std::getline(file, line); ++number) {
    const std::string key(absl::StripAsciiWhitespace(line));
    if (key.empty() || key[0] == '#') continue;
    for (const char c : key) {
      if (c <= ' ' || c >= 0x7F) {
        return absl::InvalidArgumentError(
            absl::StrCat("--api-keys-file: line ", number, " of ", path,
                         " is no key: keys are printable ASCII without spaces"));
      }
    }
    keys.keys_.push_back(key);
  }
  if (keys.keys_.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--api-keys-file: ", path, " holds no key; leave the flag out to serve everyone"));
  }
  return keys;
}

absl::Status ApiKeys::Check(std::string_view authorization) const {
  if (keys_.empty()) return absl::OkStatus();
  if (!absl::StartsWithIgnoreCase(absl::string_view(authorization.data(), authorization.size()),
                                  absl::string_view(kScheme.data(), kScheme.size()))) {
    return absl::UnauthenticatedError("send an API key: Authorization: Bearer KEY");
  }
  const std::string_view given = authorization.substr(kScheme.size());
  bool known = false;
  for (const std::string& key : keys_) known = EqualInConstantTime(given, key) || known;
  return known ? absl::OkStatus() : absl::UnauthenticatedError("the API key is not known here");
}

}  // namespace sluice::gateway
