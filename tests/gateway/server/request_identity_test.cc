// SPDX-License-Identifier: Apache-2.0
#include "gateway/server/request_identity.h"

#include <set>

#include "gtest/gtest.h"

namespace sluice::gateway {
namespace {

TEST(RequestIdentityTest, KeepsAUsableClientId) {
  const RequestIdentity identity = IdentifyRequest("order-7", "");
  EXPECT_EQ(identity.shown_id, "order-7");
  EXPECT_EQ(identity.unique_id.rfind("order-7-", 0), 0u);
  EXPECT_NE(identity.unique_id, IdentifyRequest("order-7", "").unique_id);
}

TEST(RequestIdentityTest, ReplacesAnUnusableClientId) {
  for (const std::string& id : {std::string(), std::string("two words"), std::string("line\nbreak"),
                                std::string("caf\xC3\xA9"), std::string(129, 'x')}) {
    const RequestIdentity identity = IdentifyRequest(id, "");
    EXPECT_EQ(identity.shown_id.size(), 32u) << id;
    EXPECT_EQ(identity.shown_id, identity.unique_id);
  }
}

TEST(RequestIdentityTest, IdsDiffer) {
  std::set<std::string> ids;
  for (int i = 0; i < 1000; ++i) ids.insert(IdentifyRequest("", "").unique_id);
  EXPECT_EQ(ids.size(), 1000u);
}

TEST(RequestIdentityTest, TakesWellFormedTraceparents) {
  const std::string good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
  EXPECT_EQ(IdentifyRequest("", good).traceparent, good);
  for (const std::string& bad :
       {std::string(), good + "-", good.substr(1),
        std::string("00-0AF7651916CD43DD8448EB211C80319C-B7AD6B7169203331-01"),
        std::string("00_0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331_01"),
        std::string(55, '\n')}) {
    EXPECT_EQ(IdentifyRequest("", bad).traceparent, "") << bad;
  }
}

}  // namespace
}  // namespace sluice::gateway
