// SPDX-License-Identifier: Apache-2.0
#include "worker/weights/dummy_tensor.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "worker/weights/weight_reader.h"

namespace sluice::worker {
namespace {

ExpectedTensor Dense(const std::string& name, std::vector<int64_t> shape) {
  return {.name = name, .shape = std::move(shape), .dtypes = {DType::kBF16, DType::kF16}};
}

TEST(DummyTensorTest, APartIsThePartOfTheWhole) {
  for (const ExpectedTensor& tensor :
       {Dense("w.weight", {64, 128}),
        ExpectedTensor{.name = "w.qweight", .shape = {128, 32}, .dtypes = {DType::kI32}}}) {
    const auto whole = DrawDummyTensor(tensor, 0, 4096);
    const auto part = DrawDummyTensor(tensor, 1000, 96);
    const auto bytes = static_cast<size_t>(DTypeBytes(DummyDType(tensor)));
    EXPECT_EQ(std::memcmp(whole.data() + 1000 * bytes, part.data(), part.size()), 0);
  }
}

TEST(DummyTensorTest, NamesDrawDifferently) {
  EXPECT_NE(DrawDummyTensor(Dense("a", {64, 64}), 0, 64),
            DrawDummyTensor(Dense("b", {64, 64}), 0, 64));
}

TEST(DummyTensorTest, WeightsKeepTheSizeOfTheirInput) {
  const ExpectedTensor tensor = Dense("w.weight", {64, 256});
  WeightReader reader(nullptr, 0, nullptr);
  const std::vector<float> values = reader.Read(tensor).ToFloats(64 * 256);
  double sum = 0, squares = 0;
  for (const float value : values) {
    sum += value;
    squares += double{value} * value;
  }
  EXPECT_NEAR(sum / 16384, 0, 0.005);
  EXPECT_NEAR(std::sqrt(squares / 16384), 1 / std::sqrt(256.0), 0.005);
}

}  // namespace
}  // namespace sluice::worker
