// SPDX-License-Identifier: Apache-2.0
// What ranks bring to a sum that is added to their residual and normed, for tests of the kernels
// that do all of it.
#pragma once

#include <cuda_bf16.h>

#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

#include "kernels/awq/linear_output.h"
#include "tests/kernels/cuda/peer_ranks.h"

namespace sluice::kernels::collective {

struct NormedPart : Part {
  std::unique_ptr<DeviceArray<float>> residual;
  std::unique_ptr<DeviceArray<__nv_bfloat16>> out;
  std::unique_ptr<DeviceArray<float>> squares;  // where the norm lacks its factors
};

// One operation: what all ranks bring, and what they have in common. A case has rows, width and
// pieces.
template <typename Case>
struct NormedSum {
  Case of;
  std::vector<float> start;  // of the residual
  std::vector<__nv_bfloat16> weight;
  std::unique_ptr<DeviceArray<__nv_bfloat16>> weight_device;
  std::vector<NormedPart> parts;  // by rank
};

class NormedSumTest : public PeerRanksTest {
 protected:
  using PeerRanksTest::PeerRanksTest;

  template <typename Case>
  NormedSum<Case> MakeSum(const Case& of) {
    NormedSum<Case> sum = {.of = of, .start = {}, .weight = {}, .weight_device = {}, .parts = {}};
    sum.start.resize(static_cast<size_t>(of.rows) * static_cast<size_t>(of.width));
    for (float& value : sum.start) value = 30.0f * Draw();
    sum.weight = RandomBf16(rng_, static_cast<size_t>(of.width), 1.0f);
    sum.weight_device = std::make_unique<DeviceArray<__nv_bfloat16>>(sum.weight);
    for (int rank = 0; rank < world(); ++rank) {
      NormedPart part = {MakePart(of.rows, of.width, of.pieces), nullptr, nullptr, nullptr};
      part.residual = std::make_unique<DeviceArray<float>>(sum.start);
      part.out = std::make_unique<DeviceArray<__nv_bfloat16>>(sum.start.size());
      part.squares =
          std::make_unique<DeviceArray<float>>(static_cast<size_t>(of.rows) * awq::kRowParts);
      sum.parts.push_back(std::move(part));
    }
    CheckCuda(cudaDeviceSynchronize());  // fills of memory; the ranks' streams wait for nobody
    return sum;
  }
};

}  // namespace sluice::kernels::collective
