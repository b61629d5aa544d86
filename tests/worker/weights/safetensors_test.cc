// SPDX-License-Identifier: Apache-2.0
#include "worker/weights/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/worker/weights/safetensors_builder.h"

namespace sluice::worker {
namespace {

using testing::HasSubstr;

absl::StatusOr<std::vector<TensorInfo>> Parse(const std::string& file) {
  return ParseSafetensorsHeader(Bytes(file), file.size(), "model.safetensors");
}

std::string Message(const std::string& file) {
  const auto parsed = Parse(file);
  EXPECT_EQ(parsed.status().code(), absl::StatusCode::kInvalidArgument);
  return std::string(parsed.status().message());
}

TEST(SafetensorsTest, ReadsTensorsInOrderOfTheirPlace) {
  const std::string file = Safetensors(
      R"({"__metadata__": {"format": "pt"},
          "b": {"dtype": "BF16", "shape": [2, 3], "data_offsets": [8, 20]},
          "a": {"dtype": "I32", "shape": [2], "data_offsets": [0, 8]},
          "none": {"dtype": "F32", "shape": [0, 7], "data_offsets": [8, 8]},
          "scalar": {"dtype": "F32", "shape": [], "data_offsets": [20, 24]}}   )",
      24);
  const auto tensors = Parse(file);
  ASSERT_TRUE(tensors.ok()) << tensors.status();
  ASSERT_EQ(tensors->size(), 4U);
  EXPECT_EQ((*tensors)[0].name, "a");
  EXPECT_EQ((*tensors)[0].dtype, DType::kI32);
  EXPECT_EQ((*tensors)[1].name, "none");
  EXPECT_EQ((*tensors)[2].name, "b");
  EXPECT_EQ(ShapeString((*tensors)[2].shape), "[2, 3]");
  EXPECT_EQ((*tensors)[2].num_bytes(), 12U);
  EXPECT_EQ((*tensors)[3].end, file.size());
}

struct BrokenHeader {
  const char* what;
  std::string header;
  size_t data_bytes;
  const char* message;
};

class BrokenHeaderTest : public testing::TestWithParam<BrokenHeader> {};

TEST_P(BrokenHeaderTest, IsRefusedWithNamesAndNumbers) {
  EXPECT_THAT(Message(Safetensors(GetParam().header, GetParam().data_bytes)),
              testing::AllOf(HasSubstr("model.safetensors"), HasSubstr(GetParam().message)));
}

std::string One(const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return R"({"t": {"dtype": )" + dtype + R"(, "shape": )" + shape + R"(, "data_offsets": )" +
         offsets + "}}";
}

INSTANTIATE_TEST_SUITE_P(
    All, BrokenHeaderTest,
    testing::Values(
        BrokenHeader{"json", "{", 0, "not valid JSON"},
        BrokenHeader{"list", "[]", 0, "not a JSON object"},
        BrokenHeader{"utf8", "{\"\xff\": 1}", 0, "not valid JSON"},
        BrokenHeader{"depth", std::string(100, '['), 0, "nested deeper than 64"},
        BrokenHeader{"twice",
                     R"({"t": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]},
                         "t": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}})",
                     1, "has the key 't' twice"},
        BrokenHeader{"fields", R"({"t": {"dtype": "U8", "shape": [1]}})", 1,
                     "tensor t lacks dtype, shape or data_offsets"},
        BrokenHeader{"dtype", One(R"("F12")", "[1]", "[0, 1]"), 1, R"(unknown dtype "F12")"},
        BrokenHeader{"dtype number", One("8", "[1]", "[0, 1]"), 1, "unknown dtype 8"},
        BrokenHeader{"shape", One(R"("U8")", "1", "[0, 1]"), 1, "a shape that is not a list"},
        BrokenHeader{"negative", One(R"("U8")", "[-1]", "[0, 1]"), 1, "size -1 in its shape"},
        BrokenHeader{"fraction", One(R"("U8")", "[1.5]", "[0, 1]"), 1, "size 1.5 in its shape"},
        BrokenHeader{"size", One(R"("F32")", "[2, 2]", "[0, 15]"), 15,
                     "tensor t is F32 [2, 2], which takes 16 bytes, but its data_offsets span 15"},
        BrokenHeader{"overflow", One(R"("F32")", "[281474976710656, 281474976710656]", "[0, 0]"), 0,
                     "more than 2^63 bytes"},
        BrokenHeader{"offsets", One(R"("U8")", "[1]", "[0]"), 1, "not two whole numbers"},
        BrokenHeader{"backwards", One(R"("U8")", "[1]", "[1, 0]"), 1,
                     "begins at 1 and ends before"},
        BrokenHeader{"truncated", One(R"("U8")", "[9]", "[0, 9]"), 8,
                     "tensor t ends at byte 9 of the data, which has only 8"},
        BrokenHeader{"overlap",
                     R"({"a": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]},
                         "b": {"dtype": "U8", "shape": [4], "data_offsets": [3, 7]}})",
                     7, "tensor b begins at byte 3 of the data and overlaps a, which ends at 4"},
        BrokenHeader{"hole",
                     R"({"a": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]},
                         "b": {"dtype": "U8", "shape": [4], "data_offsets": [5, 9]}})",
                     9, "bytes 4 to 5 of the data, before tensor b, belong to no tensor"},
        BrokenHeader{"rest", One(R"("U8")", "[4]", "[0, 4]"), 5,
                     "end at byte 4 of the data, which has 5"},
        BrokenHeader{"metadata", R"({"__metadata__": {"a": 1}})", 0, "not a string"},
        BrokenHeader{"metadata list", R"({"__metadata__": []})", 0, "not an object"}));

TEST(SafetensorsTest, RefusesHeadersThatDoNotFitTheFile) {
  EXPECT_THAT(Message("1234567"), HasSubstr("7 bytes, fewer than the 8"));
  EXPECT_THAT(Message(""), HasSubstr("0 bytes"));
  const std::string file = Safetensors("{}", 0);
  EXPECT_THAT(Message(file.substr(0, 9)), HasSubstr("claims 2 bytes, but only 1 follow"));
  std::string huge = file;
  huge[7] = '\x7f';  // the size's most significant byte
  EXPECT_THAT(Message(huge), HasSubstr("at most 100000000 are accepted"));
}

TEST(SafetensorsTest, EveryTruncationOfAFileIsRefused) {
  const std::string file =
      Safetensors(R"({"a": {"dtype": "I32", "shape": [2], "data_offsets": [0, 8]}})", 8);
  ASSERT_TRUE(Parse(file).ok());
  for (size_t size = 0; size < file.size(); ++size) {
    EXPECT_FALSE(Parse(file.substr(0, size)).ok()) << size;
  }
}

TEST(SafetensorsFileTest, MapsAndReleases) {
  const auto dir = FreshDir(testing::TempDir(), "safetensors_file");
  WriteFile(dir / "x",
            Safetensors(R"({"a": {"dtype": "U8", "shape": [20000], "data_offsets": [0, 20000]}})",
                        20000));
  const auto file = SafetensorsFile::Open(dir / "x", "x");
  ASSERT_TRUE(file.ok()) << file.status();
  const TensorInfo& tensor = (*file)->tensors()[0];
  const auto data = (*file)->Data(tensor);
  ASSERT_EQ(data.size(), 20000U);
  (*file)->Release(tensor);
  // Released pages come back from the file.
  for (size_t i = 0; i < data.size(); ++i) ASSERT_EQ(data[i], static_cast<std::byte>(i)) << i;
}

TEST(SafetensorsFileTest, RefusesWhatIsNoFile) {
  const auto dir = FreshDir(testing::TempDir(), "safetensors_none");
  EXPECT_EQ(SafetensorsFile::Open(dir / "absent", "absent").status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(SafetensorsFile::Open(dir, "dir").status().message()),
              HasSubstr("not a regular file"));
  WriteFile(dir / "short", "abc");
  EXPECT_THAT(std::string(SafetensorsFile::Open(dir / "short", "short").status().message()),
              HasSubstr("short: the file has 3 bytes"));
}

}  // namespace
}  // namespace sluice::worker
