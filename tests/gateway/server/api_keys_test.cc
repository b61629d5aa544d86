// SPDX-License-Identifier: Apache-2.0
#include "gateway/server/api_keys.h"

#include <fstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice::gateway {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

std::string WriteKeys(const std::string& text) {
  const std::string path = ::testing::TempDir() + "api_keys_test.txt";
  std::ofstream(path) << text;
  return path;
}

TEST(ApiKeysTest, NoKeysMeansEveryone) {
  EXPECT_TRUE(ApiKeys().empty());
  EXPECT_TRUE(ApiKeys().Check("").ok());
}

TEST(ApiKeysTest, TakesOneOfTheKeys) {
  const auto keys = ApiKeys::Load(WriteKeys("# comment\n  alpha \r\n\nbeta"));
  ASSERT_TRUE(keys.ok()) << keys.status();
  EXPECT_TRUE(keys->Check("Bearer alpha").ok());
  EXPECT_TRUE(keys->Check("bearer beta").ok());
  for (const char* wrong : {"", "Bearer", "Bearer ", "Bearer alph", "Bearer alphaa", "Bearer Alpha",
                            "Bearer # comment", "Basic alpha", "alpha"}) {
    EXPECT_EQ(keys->Check(wrong).code(), absl::StatusCode::kUnauthenticated) << wrong;
  }
}

TEST(ApiKeysTest, RefusesBadFilesWithoutShowingKeys) {
  EXPECT_EQ(ApiKeys::Load("/nowhere/keys").status().code(), absl::StatusCode::kNotFound);
  const absl::Status broken = ApiKeys::Load(WriteKeys("good\nsecret key\n")).status();
  EXPECT_THAT(std::string(broken.message()), HasSubstr("line 2"));
  EXPECT_THAT(std::string(broken.message()), Not(HasSubstr("secret")));
  EXPECT_THAT(std::string(ApiKeys::Load(WriteKeys("# nothing\n")).status().message()),
              HasSubstr("holds no key"));
}

}  // namespace
}  // namespace sluice::gateway
