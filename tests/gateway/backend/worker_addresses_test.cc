// SPDX-License-Identifier: Apache-2.0
#include "gateway/backend/worker_addresses.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice::gateway {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(WorkerAddressesTest, ReadsLists) {
  const auto addresses = WorkerAddresses::Parse("a:1, [::1]:50061,10.0.0.7:65535,");
  ASSERT_TRUE(addresses.ok()) << addresses.status();
  EXPECT_THAT(addresses->fixed, ElementsAre("a:1", "[::1]:50061", "10.0.0.7:65535"));
  EXPECT_TRUE(addresses->dns_name.empty());
}

TEST(WorkerAddressesTest, ReadsDnsNames) {
  const auto addresses = WorkerAddresses::Parse("dns:///workers.svc:50061");
  ASSERT_TRUE(addresses.ok()) << addresses.status();
  EXPECT_EQ(addresses->dns_name, "workers.svc");
  EXPECT_EQ(addresses->dns_port, "50061");
}

TEST(WorkerAddressesTest, RefusesWhatItCannotUse) {
  for (const char* text : {"", ",", "host", "host:", "host:0", "host:65536", "host:x", ":1",
                           "::1:5", "http://host:1", "a:1,b", "dns:///", "dns:///name", "a b:1"}) {
    const auto addresses = WorkerAddresses::Parse(text);
    EXPECT_EQ(addresses.status().code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_THAT(std::string(addresses.status().message()), HasSubstr("--workers")) << text;
  }
  EXPECT_THAT(std::string(WorkerAddresses::Parse("a:1,a:1").status().message()),
              HasSubstr("'a:1' twice"));
}

TEST(WorkerAddressesTest, ResolvesTheLocalHost) {
  const auto resolved = WorkerAddresses::Parse("dns:///localhost:7")->Resolve();
  ASSERT_TRUE(resolved.ok()) << resolved.status();
  EXPECT_THAT(*resolved, Contains("127.0.0.1:7"));
}

}  // namespace
}  // namespace sluice::gateway
