// SPDX-License-Identifier: Apache-2.0
#include "gateway/backend/worker_addresses.h"

#include <netdb.h>
#include <sys/socket.h>

#include <cstdint>
#include <memory>
#include <set>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "proto/wire/status_macros.h"

namespace sluice::gateway {
namespace {

constexpr absl::string_view kDnsScheme = "dns:///";

// Host and port of "host:port" or "[v6]:port".
absl::StatusOr<std::pair<std::string, std::string>> SplitHostPort(absl::string_view entry) {
  const auto bad = [entry](absl::string_view why) {
    return absl::InvalidArgumentError(
        absl::StrCat("--workers: '", entry, "' ", why, "; write host:port or dns:///name:port"));
  };
  const size_t colon = entry.rfind(':');
  if (colon == absl::string_view::npos || colon == 0) return bad("has no host and port");
  const absl::string_view host = entry.substr(0, colon);
  const absl::string_view port = entry.substr(colon + 1);
  const bool bracketed = host.front() == '[' && host.back() == ']';
  if (!bracketed && host.find_first_of(":/[] ") != absl::string_view::npos) {
    return bad("has no usable host");
  }
  uint32_t number = 0;
  if (!absl::SimpleAtoi(port, &number) || number == 0 || number > 65535) {
    return bad("has no port between 1 and 65535");
  }
  return std::make_pair(std::string(host), std::string(port));
}

}  // namespace

absl::StatusOr<WorkerAddresses> WorkerAddresses::Parse(std::string_view text) {
  WorkerAddresses addresses;
  absl::string_view whole(text.data(), text.size());
  if (absl::ConsumePrefix(&whole, kDnsScheme)) {
    SLUICE_ASSIGN_OR_RETURN(auto split, SplitHostPort(whole));
    addresses.dns_name = std::move(split.first);
    addresses.dns_port = std::move(split.second);
    return addresses;
  }
  std::set<std::string> seen;
  for (absl::string_view entry : absl::StrSplit(whole, ',')) {
    entry = absl::StripAsciiWhitespace(entry);
    if (entry.empty()) continue;
    SLUICE_ASSIGN_OR_RETURN(auto split, SplitHostPort(entry));
    if (!seen.insert(std::string(entry)).second) {
      return absl::InvalidArgumentError(absl::StrCat("--workers names '", entry, "' twice"));
    }
    addresses.fixed.emplace_back(entry);
  }
  if (addresses.fixed.empty()) {
    return absl::InvalidArgumentError(
        "--workers is empty; write host:port,... or dns:///name:port of the worker groups' "
        "leaders");
  }
  return addresses;
}

absl::StatusOr<std::vector<std::string>> WorkerAddresses::Resolve() const {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(dns_name.c_str(), dns_port.c_str(), &hints, &found);
  if (error != 0) {
    return absl::UnavailableError(
        absl::StrCat("cannot resolve ", dns_name, ": ", gai_strerror(error)));
  }
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owner(found, &freeaddrinfo);
  std::set<std::string> addresses;
  for (const addrinfo* entry = found; entry != nullptr; entry = entry->ai_next) {
    char host[NI_MAXHOST];
    if (getnameinfo(entry->ai_addr, entry->ai_addrlen, host, sizeof(host), nullptr, 0,
                    NI_NUMERICHOST) != 0) {
      continue;
    }
    addresses.insert(entry->ai_family == AF_INET6 ? absl::StrCat("[", host, "]:", dns_port)
                                                  : absl::StrCat(host, ":", dns_port));
  }
  return std::vector<std::string>(addresses.begin(), addresses.end());
}

}  // namespace sluice::gateway
