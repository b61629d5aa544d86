// SPDX-License-Identifier: Apache-2.0
// The parity test must be able to fail. Each mutation of a checkpoint here is what a wrong loader
// would make of the right one: our loader on the mutated file computes what the wrong loader
// computes on the original.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>

#include "kernels/cpu/float_type.h"
#include "tests/worker/model/golden_logits.h"
#include "tests/worker/model/model_runner.h"
#include "worker/weights/safetensors.h"

namespace sluice::worker {
namespace {

constexpr char kCheckpoint[] = "plain_tied";  // one file; three and eight groups

using Mutation = std::function<void(const TensorInfo& tensor, std::byte* data)>;

void ForEachWord(const TensorInfo& tensor, std::byte* data,
                 const std::function<uint32_t(uint32_t)>& change) {
  for (uint64_t i = 0; i < tensor.num_bytes(); i += 4) {
    uint32_t word;
    std::memcpy(&word, data + i, 4);
    word = change(word);
    std::memcpy(data + i, &word, 4);
  }
}

bool EndsWith(const TensorInfo& tensor, const char* suffix) {
  return tensor.name.ends_with(suffix);
}

// A copy of the checkpoint with every tensor passed through the mutation.
std::string Mutate(const std::string& name, const Mutation& mutation) {
  const std::filesystem::path from = ParityDir(kCheckpoint);
  const std::filesystem::path to = std::filesystem::path(testing::TempDir()) / ("mutant_" + name);
  std::filesystem::create_directories(to);
  std::filesystem::copy_file(from / "config.json", to / "config.json",
                             std::filesystem::copy_options::overwrite_existing);
  std::ifstream in(from / "model.safetensors", std::ios::binary);
  std::string bytes{std::istreambuf_iterator<char>(in), {}};
  auto* data = reinterpret_cast<std::byte*>(bytes.data());
  const auto tensors = ParseSafetensorsHeader({data, bytes.size()}, bytes.size(), name);
  EXPECT_TRUE(tensors.ok()) << tensors.status();
  for (const TensorInfo& tensor : *tensors) mutation(tensor, data + tensor.begin);
  std::ofstream(to / "model.safetensors", std::ios::binary) << bytes;
  return to.string();
}

// How far the mutant is from the golden runs of its checkpoint, at its best.
double SmallestDifference(const std::string& name, const Mutation& mutation) {
  const std::string dir = Mutate(name, mutation);
  double smallest = 1e9;
  for (const GoldenLogits& golden : LoadGoldenLogits()) {
    if (golden.checkpoint == kCheckpoint) {
      smallest = std::min(smallest, DifferenceFrom(golden, dir));
    }
  }
  std::filesystem::remove_all(dir);
  std::printf("%-20s differs by %.2e of the range\n", name.c_str(), smallest);
  return smallest;
}

TEST(MutationTest, AnUnchangedCopyPasses) {
  EXPECT_LT(SmallestDifference("unchanged", [](const TensorInfo&, std::byte*) {}),
            kLogitsTolerance);
}

TEST(MutationTest, IgnoringTheNibbleOrderIsFound) {
  // A loader that takes field i for column i finds there what ours finds in the field of column i.
  const auto as_plain_order = [](uint32_t word) {
    constexpr int kColumnOfField[8] = {0, 2, 4, 6, 1, 3, 5, 7};
    uint32_t result = 0;
    for (int field = 0; field < 8; ++field) {
      const uint32_t plain = (word >> (4 * kColumnOfField[field])) & 0xFU;
      result |= plain << (4 * field);
    }
    return result;
  };
  EXPECT_GT(SmallestDifference("nibble_order",
                               [&](const TensorInfo& tensor, std::byte* data) {
                                 if (EndsWith(tensor, ".qweight") || EndsWith(tensor, ".qzeros")) {
                                   ForEachWord(tensor, data, as_plain_order);
                                 }
                               }),
            100 * kLogitsTolerance);
}

TEST(MutationTest, ZerosOffByOneAreFound) {
  // The zero points are 4 to 11: adding one to each nibble carries nowhere.
  EXPECT_GT(SmallestDifference("zeros_plus_one",
                               [](const TensorInfo& tensor, std::byte* data) {
                                 if (!EndsWith(tensor, ".qzeros")) return;
                                 ForEachWord(tensor, data,
                                             [](uint32_t word) { return word + 0x11111111U; });
                               }),
            100 * kLogitsTolerance);
}

TEST(MutationTest, ScalesShiftedByAGroupAreFound) {
  EXPECT_GT(SmallestDifference("scales_shifted",
                               [](const TensorInfo& tensor, std::byte* data) {
                                 if (!EndsWith(tensor, ".scales")) return;
                                 const auto row =
                                     static_cast<int64_t>(tensor.num_bytes()) / tensor.shape[0];
                                 std::rotate(data, data + row, data + tensor.num_bytes());
                               }),
            100 * kLogitsTolerance);
}

TEST(MutationTest, ScalesReadAsAnotherSixteenBitTypeAreFound) {
  // F16 bits taken for BF16 give other numbers; here the file's F16 scales are replaced by BF16
  // bits.
  EXPECT_GT(SmallestDifference("scales_type",
                               [](const TensorInfo& tensor, std::byte* data) {
                                 if (!EndsWith(tensor, ".scales")) return;
                                 for (uint64_t i = 0; i < tensor.num_bytes(); i += 2) {
                                   uint16_t half;
                                   std::memcpy(&half, data + i, 2);
                                   const float value = kernels::cpu::F16ToFloat(half);
                                   uint32_t bits;
                                   std::memcpy(&bits, &value, 4);
                                   half = static_cast<uint16_t>(bits >> 16);
                                   std::memcpy(data + i, &half, 2);
                                 }
                               }),
            100 * kLogitsTolerance);
}

}  // namespace
}  // namespace sluice::worker
