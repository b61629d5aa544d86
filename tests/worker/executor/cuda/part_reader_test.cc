// SPDX-License-Identifier: Apache-2.0
// Parts of stored and dummy tensors against the whole of them, and rounding against CUDA's own.
#include "worker/executor/cuda/part_reader.h"

#include <cuda_bf16.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "kernels/cpu/float_type.h"
#include "tests/worker/weights/safetensors_builder.h"
#include "worker/weights/dummy_tensor.h"

namespace sluice::worker {
namespace {

constexpr int64_t kRows = 6;
constexpr int64_t kColumns = 10;

// Random bits of one [kRows][kColumns] tensor "t" of 4-byte or 2-byte elements.
std::unique_ptr<const Checkpoint> CheckpointOf(const std::string& dtype, int64_t element_bytes,
                                               std::string* data) {
  const int64_t bytes = kRows * kColumns * element_bytes;
  std::mt19937 rng(7);
  data->clear();
  while (static_cast<int64_t>(data->size()) < bytes) data->push_back(static_cast<char>(rng()));
  std::string file =
      Safetensors(R"({"t":{"dtype":")" + dtype + R"(","shape":[6,10],"data_offsets":[0,)" +
                      std::to_string(bytes) + "]}}",
                  0);
  const auto dir = FreshDir(testing::TempDir(), "part_reader_" + dtype);
  WriteFile(dir / "model.safetensors", file + *data);
  auto checkpoint = Checkpoint::Open(dir.string());
  EXPECT_TRUE(checkpoint.ok()) << checkpoint.status();
  return *std::move(checkpoint);
}

TensorPart Part(DType staged) {
  return {.tensor = {.name = "t", .shape = {kRows, kColumns}, .dtypes = {}},
          .first_row = 2,
          .num_rows = 3,
          .first_column = 4,
          .num_columns = 5,
          .staged = staged};
}

std::vector<std::byte> Read(const Checkpoint* checkpoint, const TensorPart& part) {
  // A byte more, to see that it stays.
  std::vector<std::byte> out(static_cast<size_t>(part.staged_bytes()) + 1, std::byte{0x5A});
  PrefetchPart(checkpoint, part);
  ReadPart(checkpoint, part, out.data());
  ReleasePart(checkpoint, part);
  EXPECT_EQ(out.back(), std::byte{0x5A});
  out.pop_back();
  return out;
}

TEST(PartReaderTest, APartIsThatPartOfTheTensor) {
  for (const auto& [name, dtype] : {std::pair("I32", DType::kI32), std::pair("BF16", DType::kBF16),
                                    std::pair("F16", DType::kF16)}) {
    std::string data;
    const int64_t size = DTypeBytes(dtype);
    const auto checkpoint = CheckpointOf(name, size, &data);
    const TensorPart part = Part(dtype);
    const auto out = Read(checkpoint.get(), part);
    for (int64_t row = 0; row < 3; ++row) {
      EXPECT_EQ(
          std::memcmp(out.data() + row * 5 * size, data.data() + ((2 + row) * kColumns + 4) * size,
                      static_cast<size_t>(5 * size)),
          0);
    }
    TensorPart rows = part;
    rows.first_column = 0;
    rows.num_columns = kColumns;
    const auto whole = Read(checkpoint.get(), rows);
    EXPECT_EQ(std::memcmp(whole.data(), data.data() + 2 * kColumns * size, whole.size()), 0);
  }
}

TEST(PartReaderTest, FloatsOfOtherTypesAreRounded) {
  for (const auto& [name, type] : {std::pair("F32", kernels::cpu::FloatType::kF32),
                                   std::pair("F16", kernels::cpu::FloatType::kF16)}) {
    std::string data;
    const auto checkpoint =
        CheckpointOf(name, static_cast<int64_t>(kernels::cpu::FloatTypeBytes(type)), &data);
    const auto out = Read(checkpoint.get(), Part(DType::kBF16));
    for (int64_t i = 0; i < 15; ++i) {
      const float value =
          kernels::cpu::LoadFloat(data.data(), type, (2 + i / 5) * kColumns + 4 + i % 5);
      uint16_t bits;
      std::memcpy(&bits, out.data() + 2 * i, 2);
      EXPECT_EQ(bits, kernels::cpu::FloatToBf16(value));
    }
  }
}

TEST(PartReaderTest, RoundingIsCudas) {
  std::mt19937 rng(1);
  std::vector<float> values = {0.0f,
                               -0.0f,
                               1.0f,
                               std::numeric_limits<float>::max(),
                               std::numeric_limits<float>::infinity(),
                               -std::numeric_limits<float>::infinity(),
                               std::numeric_limits<float>::denorm_min()};
  for (int i = 0; i < 100'000; ++i) {
    const auto bits = static_cast<uint32_t>(rng());
    values.push_back(std::bit_cast<float>(bits));
    values.push_back(std::bit_cast<float>((bits & 0xFFFF0000u) | 0x8000u));  // halfway
  }
  for (const float value : values) {
    const uint16_t bits = kernels::cpu::FloatToBf16(value);
    if (std::isnan(value)) {
      EXPECT_TRUE(std::isnan(kernels::cpu::Bf16ToFloat(bits)));
      continue;
    }
    const __nv_bfloat16_raw expected = __float2bfloat16_rn(value);
    ASSERT_EQ(bits, expected.x) << value;
  }
}

// Two parts whose rows take turns fill each other's gaps, whole rows and not, stored and dummy.
TEST(PartReaderTest, RowsOfPartsTakeTurns) {
  std::string data;
  const auto checkpoint = CheckpointOf("F32", 4, &data);
  for (const Checkpoint* from : {static_cast<const Checkpoint*>(checkpoint.get()),
                                 static_cast<const Checkpoint*>(nullptr)}) {
    for (const int64_t columns : {kColumns, int64_t{5}}) {
      TensorPart parts[2];
      std::vector<std::byte> alone[2];
      for (int64_t i = 0; i < 2; ++i) {
        TensorPart& part = parts[i] = Part(DType::kBF16);
        part.tensor.dtypes = {DType::kF32};
        part.tensor.name = "t";
        part.first_row = i;
        part.first_column = 0;
        part.num_columns = columns;
        alone[i] = Read(from, part);
        part.staged_offset = i * part.row_bytes();
        part.row_stride = 2;
      }
      const auto row_bytes = static_cast<size_t>(parts[0].row_bytes());
      const auto bytes = static_cast<size_t>(parts[1].staged_offset + parts[1].staged_bytes());
      ASSERT_EQ(bytes, alone[0].size() + alone[1].size());
      std::vector<std::byte> both(bytes + 1, std::byte{0x5A});
      for (const TensorPart& part : parts) {
        ReadPart(from, part, both.data() + part.staged_offset);
      }
      EXPECT_EQ(both.back(), std::byte{0x5A});
      for (size_t row = 0; row < 6; ++row) {
        EXPECT_EQ(std::memcmp(both.data() + row * row_bytes,
                              alone[row % 2].data() + row / 2 * row_bytes, row_bytes),
                  0)
            << row;
      }
    }
  }
}

TEST(PartReaderTest, DummiesAreThoseOfTheWholeTensor) {
  ExpectedTensor words = {.name = "w.qweight", .shape = {kRows, kColumns}, .dtypes = {DType::kI32}};
  ExpectedTensor floats = {
      .name = "w.weight", .shape = {kRows, kColumns}, .dtypes = {DType::kBF16}};
  for (const ExpectedTensor& tensor : {words, floats}) {
    TensorPart part = Part(DummyDType(tensor));
    part.tensor = tensor;
    const int64_t size = DTypeBytes(part.staged);
    const auto whole = DrawDummyTensor(tensor, 0, kRows * kColumns);
    const auto out = Read(nullptr, part);
    for (int64_t row = 0; row < 3; ++row) {
      EXPECT_EQ(
          std::memcmp(out.data() + row * 5 * size, whole.data() + ((2 + row) * kColumns + 4) * size,
                      static_cast<size_t>(5 * size)),
          0);
    }
  }
}

}  // namespace
}  // namespace sluice::worker
