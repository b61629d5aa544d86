// SPDX-License-Identifier: Apache-2.0
// What every body and chunk of one answer repeats.
#pragma once

#include <cstdint>
#include <string>

namespace sluice::gateway {

struct ResponseHeader {
  std::string id;  // "chatcmpl-..." or "cmpl-..."
  std::string model;
  int64_t created_unix_seconds = 0;
};

}  // namespace sluice::gateway
