// SPDX-License-Identifier: Apache-2.0
#include "worker/weights/dummy_tensor.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <string>

#include "absl/strings/match.h"

namespace sluice::worker {
namespace {

// FNV-1a.
uint64_t HashName(const std::string& name) {
  uint64_t hash = 0xCBF29CE484222325ULL;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3ULL;
  return hash;
}

// SplitMix64's output function: neighbouring indices give unrelated bits.
uint64_t Mix(uint64_t x) {
  x += 0x9E3779B97F4A7C15ULL;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ULL;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBULL;
  return x ^ (x >> 31);
}

struct Range {
  float middle;
  float half_width;  // of the uniform distribution around it
};

Range RangeOf(const ExpectedTensor& tensor) {
  constexpr float kSqrt3 = 1.7320508f;  // half width of a uniform distribution of deviation 1
  if (absl::EndsWith(tensor.name, ".scales")) {
    // Uniform 4-bit values deviate by 4.6; a linear keeps the size of its input with weights of 1 /
    // sqrt(inputs).
    const float scale = 1.0f / (4.6f * std::sqrt(128.0f * static_cast<float>(tensor.shape[0])));
    return {scale, 0.25f * scale};
  }
  if (tensor.shape.size() == 1) return {1.0f, 0.1f * kSqrt3};  // a norm
  if (absl::StrContains(tensor.name, "embed_tokens")) return {0.0f, 0.02f * kSqrt3};
  return {0.0f, kSqrt3 / std::sqrt(static_cast<float>(tensor.shape[1]))};
}

}  // namespace

DType DummyDType(const ExpectedTensor& tensor) {
  return tensor.dtypes.front() == DType::kI32 ? DType::kI32 : DType::kBF16;
}

std::vector<std::byte> DrawDummyTensor(const ExpectedTensor& tensor, int64_t first, int64_t count) {
  std::vector<std::byte> bytes(static_cast<size_t>(count * DTypeBytes(DummyDType(tensor))));
  DrawDummyTensor(tensor, first, bytes);
  return bytes;
}

void DrawDummyTensor(const ExpectedTensor& tensor, int64_t first, std::span<std::byte> out) {
  const uint64_t seed = HashName(tensor.name);
  const auto draw = [&](int64_t i) { return Mix(seed + static_cast<uint64_t>(first + i)); };
  const DType dtype = DummyDType(tensor);
  const int64_t count = static_cast<int64_t>(out.size()) / DTypeBytes(dtype);
  if (dtype == DType::kI32) {
    // Zero points stay in the middle of the range, 7 or 8 in each nibble; weights take all of it.
    const bool zeros = absl::EndsWith(tensor.name, ".qzeros");
    for (int64_t i = 0; i < count; ++i) {
      auto word = static_cast<uint32_t>(draw(i));
      if (zeros) word = 0x77777777U + (word & 0x11111111U);
      std::memcpy(out.data() + i * 4, &word, 4);
    }
    return;
  }
  const Range range = RangeOf(tensor);
  for (int64_t i = 0; i < count; ++i) {
    const float unit = static_cast<float>(draw(i) >> 40) * 0x1p-23f - 1.0f;  // [-1, 1)
    const float value = range.middle + range.half_width * unit;
    const auto half = static_cast<uint16_t>(std::bit_cast<uint32_t>(value) >> 16);
    std::memcpy(out.data() + i * 2, &half, 2);
  }
}

}  // namespace sluice::worker
