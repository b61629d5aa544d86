// SPDX-License-Identifier: Apache-2.0
#include "gateway/server/request_identity.h"

#include <algorithm>
#include <cstdint>
#include <random>

namespace sluice::gateway {
namespace {

constexpr size_t kMaxClientIdBytes = 128;

std::string RandomHex(int digits) {
  static thread_local std::mt19937_64 random{std::random_device{}()};
  std::string text;
  while (text.size() < static_cast<size_t>(digits)) {
    uint64_t bits = random();
    for (int i = 0; i < 16 && text.size() < static_cast<size_t>(digits); ++i, bits >>= 4) {
      text += "0123456789abcdef"[bits & 15];
    }
  }
  return text;
}

// It goes into headers, metadata and logs as it is.
bool IsUsableId(std::string_view id) {
  return !id.empty() && id.size() <= kMaxClientIdBytes &&
         std::all_of(id.begin(), id.end(), [](char c) { return c > ' ' && c < 0x7F; });
}

bool IsLowerHex(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

}  // namespace

RequestIdentity IdentifyRequest(std::string_view client_id, std::string_view traceparent) {
  RequestIdentity identity;
  if (IsUsableId(client_id)) {
    identity.shown_id = std::string(client_id);
    identity.unique_id = identity.shown_id + "-" + RandomHex(8);
  } else {
    identity.unique_id = RandomHex(32);
    identity.shown_id = identity.unique_id;
  }
  if (IsTraceparent(traceparent)) identity.traceparent = std::string(traceparent);
  return identity;
}

bool IsTraceparent(std::string_view value) {
  return value.size() == 55 && value[2] == '-' && value[35] == '-' && value[52] == '-' &&
         IsLowerHex(value.substr(0, 2)) && IsLowerHex(value.substr(3, 32)) &&
         IsLowerHex(value.substr(36, 16)) && IsLowerHex(value.substr(53, 2));
}

}  // namespace sluice::gateway
