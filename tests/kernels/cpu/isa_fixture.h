// SPDX-License-Identifier: Apache-2.0
// What the kernel tests share: running a case on every instruction set this machine has, bit
// comparison, and seeded random data.
#pragma once

#include <gtest/gtest.h>

#include <bit>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "kernels/cpu/isa.h"

namespace sluice::kernels::cpu {

// Parameterized by instruction set; skips those this machine lacks, and restores the best one
// afterwards.
class IsaTest : public testing::TestWithParam<Isa> {
 protected:
  void SetUp() override {
    best_ = ActiveIsa();
    if (!IsaSupported(GetParam())) GTEST_SKIP() << IsaName(GetParam()) << " is not supported here";
    SetIsaForTest(GetParam());
  }
  void TearDown() override { SetIsaForTest(best_); }

 private:
  Isa best_ = Isa::kGeneric;
};

inline std::string IsaTestName(const testing::TestParamInfo<Isa>& info) {
  switch (info.param) {
    case Isa::kGeneric:
      return "Generic";
    case Isa::kX86V2:
      return "X86V2";
    case Isa::kX86V3:
      return "X86V3";
    case Isa::kX86V4:
      return "X86V4";
  }
  return "Unknown";
}

inline auto AllIsas() {
  return testing::Values(Isa::kGeneric, Isa::kX86V2, Isa::kX86V3, Isa::kX86V4);
}

// Equal bit for bit, naming the first difference.
inline testing::AssertionResult SameBits(const std::vector<float>& actual,
                                         const std::vector<float>& expected) {
  if (actual.size() != expected.size()) {
    return testing::AssertionFailure() << actual.size() << " values, expected " << expected.size();
  }
  for (size_t i = 0; i < actual.size(); ++i) {
    if (std::bit_cast<uint32_t>(actual[i]) != std::bit_cast<uint32_t>(expected[i])) {
      return testing::AssertionFailure()
             << "index " << i << ": " << std::hexfloat << actual[i] << ", expected " << expected[i];
    }
  }
  return testing::AssertionSuccess();
}

inline std::vector<float> RandomNormal(std::mt19937& rng, int64_t num, float deviation = 1.0f) {
  std::normal_distribution<float> normal(0.0f, deviation);
  std::vector<float> out(num);
  for (float& value : out) value = normal(rng);
  return out;
}

}  // namespace sluice::kernels::cpu
