// SPDX-License-Identifier: Apache-2.0
// Norm, gate, embedding, head norm with RoPE and the KV write on the GPU against the CPU's. Inputs
// are bf16 on both sides and arithmetic is fp32, so outputs differ by one rounding to bf16 (2^-8 of
// the value, where the CPU's is not rounded) and fp32 noise.
#include <algorithm>
#include <cmath>

#include "kernels/awq/sum_pieces.h"
#include "kernels/cpu/embedding.h"
#include "kernels/cpu/norm.h"
#include "kernels/cpu/rope.h"
#include "kernels/cpu/thread_pool.h"
#include "kernels/embedding/embedding_gather.h"
#include "kernels/mlp/silu_mul.h"
#include "kernels/norm/add_rms_norm.h"
#include "kernels/rope/head_norm_rope.h"
#include "tests/kernels/cuda/device_array.h"
#include "tests/kernels/cuda/gated_on_cpu.h"

namespace sluice::kernels {
namespace {

const std::vector<int> kRowCounts =
    kSmallShapes ? std::vector<int>{1, 2, 17, 64, 257}
                 : std::vector<int>{1,  2,   3,   4,   5,   6,   7,   8,    9,    10,  11,
                                    12, 13,  14,  15,  16,  17,  31,  32,   33,   63,  64,
                                    65, 127, 128, 129, 255, 256, 257, 1000, 2048, 8191};

class ElementwiseTest : public CudaTest {
 protected:
  // actual is bf16 of expected, give or take one unit of its last place.
  static void ExpectRounded(const std::vector<__nv_bfloat16>& actual,
                            const std::vector<float>& expected) {
    ASSERT_EQ(actual.size(), expected.size());
    for (size_t i = 0; i < actual.size(); ++i) {
      ASSERT_NEAR(__bfloat162float(actual[i]), expected[i], std::abs(expected[i]) / 128 + 1e-6f)
          << i;
    }
  }

  static awq::LinearOutput Dense(const DeviceArray<__nv_bfloat16>& values, int rows, int outputs) {
    awq::LinearOutput output;
    output.values = values.get();
    output.rows = rows;
    output.outputs = outputs;
    return output;
  }

  std::mt19937 rng_{9};
  cpu::ThreadPool pool_{2};
};

TEST_F(ElementwiseTest, AddsAndNorms) {
  for (const int width : {384, 5120}) {
    for (const int rows : kRowCounts) {
      const size_t size = size_t{1} * rows * width;
      std::vector<float> residual = ToFloats(RandomBf16(rng_, size, 2.0f));
      const std::vector<__nv_bfloat16> delta = RandomBf16(rng_, size, 1.0f);
      const std::vector<__nv_bfloat16> weight = RandomBf16(rng_, static_cast<size_t>(width), 1.0f);
      DeviceArray<float> residual_device(residual);
      const DeviceArray<__nv_bfloat16> delta_device(delta), weight_device(weight);
      DeviceArray<__nv_bfloat16> out(size);
      const awq::LinearOutput added = Dense(delta_device, rows, width);
      ExpectOk(norm::RunAddRmsNorm(
          {residual_device.get(), &added, weight_device.get(), 1e-6f, rows, width, out.get()},
          nullptr));
      const std::vector<float> delta_floats = ToFloats(delta), weight_floats = ToFloats(weight);
      std::vector<float> expected(size);
      cpu::AddRmsNorm(residual.data(), delta_floats.data(), weight_floats.data(), 1e-6f, rows,
                      width, expected.data(), pool_);
      EXPECT_EQ(residual_device.ToHost(), residual);
      ExpectRounded(out.ToHost(), expected);
    }
  }
}

TEST_F(ElementwiseTest, NormAddsUpPartialSums) {
  constexpr int kRows = 3, kWidth = 384, kInputs = 1024;
  awq::LinearOutput delta;
  delta.plan = awq::MakeSplitPlan(kWidth, kInputs, 2, 20, 32);
  delta.rows = kRows;
  delta.outputs = kWidth;
  const auto size = static_cast<size_t>(delta.plan.PartialFloats(kRows, kWidth));
  const std::vector<float> partials = ToFloats(RandomBf16(rng_, size, 1.0f));
  std::vector<float> residual(kRows * kWidth, 0.5f), expected = residual;
  for (int row = 0; row < kRows; ++row) {
    for (int n = 0; n < kWidth; ++n) {
      float sum = 0.0f;
      for (int slice = 0; slice < delta.plan.slices; ++slice) {
        for (int piece = 0; piece < delta.plan.NumPieces(n / 32); ++piece) {
          sum += partials[((slice * delta.plan.max_pieces + piece) * kRows + row) * kWidth + n];
        }
      }
      expected[row * kWidth + n] += sum;
    }
  }
  const DeviceArray<float> partials_device(partials);
  delta.partials = partials_device.get();
  DeviceArray<float> residual_device(residual);
  const DeviceArray<__nv_bfloat16> weight(RandomBf16(rng_, kWidth, 1.0f));
  DeviceArray<__nv_bfloat16> out(kRows * kWidth);
  ExpectOk(norm::RunAddRmsNorm(
      {residual_device.get(), &delta, weight.get(), 1e-6f, kRows, kWidth, out.get()}, nullptr));
  EXPECT_EQ(residual_device.ToHost(), expected);
}

TEST_F(ElementwiseTest, SiluMulEqualsTheCpu) {
  for (const int width : {4, 1024, 17408}) {
    for (const int rows : kRowCounts) {
      if (int64_t{rows} * width > int64_t{2048} * 17408) continue;  // minutes of random numbers
      const std::vector<__nv_bfloat16> gate_up = RandomBf16(rng_, size_t{2} * rows * width, 3.0f);
      const DeviceArray<__nv_bfloat16> device(gate_up);
      DeviceArray<__nv_bfloat16> out(size_t{1} * rows * width);
      ExpectOk(mlp::SiluMul(Dense(device, rows, 2 * width), width, out.get(), nullptr));
      const std::vector<float> expected = GatedOnCpu(ToFloats(gate_up), rows, width, pool_);
      ExpectRounded(out.ToHost(), expected);
    }
  }
}

TEST_F(ElementwiseTest, SiluMulAddsUpPartialSums) {
  constexpr int kRows = 3, kWidth = 544, kOutputs = 2 * kWidth;
  for (const int tile_outputs : {32, 256}) {
    awq::LinearOutput gate_up;
    gate_up.plan = awq::MakeSplitPlan(kOutputs, 1024, 2, 42, tile_outputs);
    ASSERT_GT(gate_up.plan.max_pieces, 1);
    gate_up.rows = kRows;
    gate_up.outputs = kOutputs;
    const auto size = static_cast<size_t>(gate_up.plan.PartialFloats(kRows, kOutputs));
    const DeviceArray<float> partials(ToFloats(RandomBf16(rng_, size, 1.0f)));
    gate_up.partials = partials.get();
    DeviceArray<float> sums(kRows * kOutputs);
    ExpectOk(awq::SumPieces(gate_up, sums.get(), nullptr));
    DeviceArray<__nv_bfloat16> out(kRows * kWidth);
    ExpectOk(mlp::SiluMul(gate_up, kWidth, out.get(), nullptr));
    ExpectRounded(out.ToHost(), GatedOnCpu(sums.ToHost(), kRows, kWidth, pool_));
  }
}

TEST_F(ElementwiseTest, GathersItsShardOfTheEmbedding) {
  constexpr int kWidth = 384, kFirst = 100, kRows = 50;
  const std::vector<__nv_bfloat16> table = RandomBf16(rng_, size_t{kRows} * kWidth, 1.0f);
  const std::vector<int32_t> ids = {99, 100, 149, 150, 0, 120};
  // The last two as the first and third row have sampled them.
  const std::vector<int32_t> sent = {99, 100, 149, 150, -1, -3}, last_ids = {0, 149, 120};
  const DeviceArray<__nv_bfloat16> table_device(table);
  const DeviceArray<int32_t> ids_device(sent), last_ids_device(last_ids);
  DeviceArray<float> out(ids.size() * kWidth);
  ExpectOk(embedding::RunEmbeddingGather(
      {table_device.get(), kFirst, kRows, kWidth, ids_device.get(), last_ids_device.get(),
       static_cast<int>(ids.size()), out.get()},
      nullptr));
  std::vector<float> expected(ids.size() * kWidth);
  cpu::EmbeddingGather({table.data(), cpu::FloatType::kBf16, kRows, kWidth, kFirst}, ids,
                       expected.data(), pool_);
  EXPECT_EQ(out.ToHost(), expected);
}

TEST_F(ElementwiseTest, NormsTurnsAndWritesHeads) {
  constexpr int kQueryHeads = 10, kKvHeads = 2, kDim = attention::kHeadDim;
  constexpr int kHeads = kQueryHeads + 2 * kKvHeads;
  const std::vector<int32_t> positions = {0, 1, 63, 64, 1000, 32767, 131071};
  const std::vector<int32_t> slots = {64, 65, 127, 200, 300, 130, 450};
  const int rows = static_cast<int>(positions.size());
  const size_t width = size_t{kHeads} * kDim;
  const std::vector<__nv_bfloat16> qkv = RandomBf16(rng_, width * positions.size(), 2.0f);
  const std::vector<__nv_bfloat16> q_norm = RandomBf16(rng_, kDim, 1.0f),
                                   k_norm = RandomBf16(rng_, kDim, 1.0f);
  const cpu::RopeFrequencies rope =
      cpu::YarnRope(1e6, kDim, {.factor = 4.0, .original_max_positions = 32768});

  const DeviceArray<__nv_bfloat16> qkv_device(qkv), q_norm_device(q_norm), k_norm_device(k_norm);
  const DeviceArray<int32_t> positions_device(positions), slots_device(slots);
  const DeviceArray<float> inv_freq(rope.inv_freq);
  DeviceArray<float2> angles(positions.size() * kDim / 2);
  ExpectOk(rope::RunRopeAngles(
      {positions_device.get(), inv_freq.get(), rope.attention_factor, rows, angles.get()},
      nullptr));
  constexpr size_t kPages = 8;
  DeviceArray<__nv_bfloat16> keys(kPages * kKvHeads * attention::kPageSlots * kDim),
      values(keys.size());
  DeviceArray<__nv_bfloat16> q(positions.size() * kQueryHeads * kDim);
  rope::HeadNormRope params;
  params.qkv = Dense(qkv_device, rows, kHeads * kDim);
  params.num_q_heads = kQueryHeads;
  params.q_norm = q_norm_device.get();
  params.k_norm = k_norm_device.get();
  params.eps = 1e-6f;
  params.angles = angles.get();
  params.slots = slots_device.get();
  params.pages = {keys.get(), values.get(), kKvHeads};
  params.q = q.get();
  ExpectOk(rope::RunHeadNormRope(params, nullptr));

  std::vector<float> expected = ToFloats(qkv);
  std::vector<float> cos(positions.size() * kDim / 2), sin(cos.size());
  cpu::RopeAngles(rope, positions, cos.data(), sin.data(), pool_);
  const std::vector<float> q_weight = ToFloats(q_norm), k_weight = ToFloats(k_norm);
  const auto stride = static_cast<int64_t>(width);
  cpu::HeadNormRope(expected.data(), stride, rows, kQueryHeads, kDim, q_weight.data(), 1e-6f,
                    cos.data(), sin.data(), pool_);
  cpu::HeadNormRope(expected.data() + kQueryHeads * kDim, stride, rows, kKvHeads, kDim,
                    k_weight.data(), 1e-6f, cos.data(), sin.data(), pool_);
  const std::vector<__nv_bfloat16> q_host = q.ToHost(), k_host = keys.ToHost(),
                                   v_host = values.ToHost();
  // A head turned by a large angle: the fp32 angle itself is good to 2^-7 at the longest position,
  // but both sides round it alike; sine and cosine may differ by a few units of their last place.
  const auto near = [](__nv_bfloat16 actual, float wanted) {
    ASSERT_NEAR(__bfloat162float(actual), wanted, std::abs(wanted) / 128 + 2e-5f);
  };
  for (int row = 0; row < rows; ++row) {
    const float* heads = expected.data() + row * stride;
    for (int i = 0; i < kQueryHeads * kDim; ++i)
      near(q_host[row * kQueryHeads * kDim + i], heads[i]);
    for (int head = 0; head < kKvHeads; ++head) {
      const int64_t at = params.pages.Offset(slots[row] / 64, head, slots[row] % 64);
      for (int i = 0; i < kDim; ++i) {
        near(k_host[at + i], heads[(kQueryHeads + head) * kDim + i]);
        near(v_host[at + i], heads[(kQueryHeads + kKvHeads + head) * kDim + i]);
      }
    }
  }
}

// A grid has at most 65,535 rows of blocks, a step 65,536 tokens.
TEST_F(ElementwiseTest, TurnsHeadsOfMoreRowsThanAGridHas) {
  constexpr int kRows = 65536, kDim = attention::kHeadDim, kWidth = 3 * kDim;
  const std::vector<__nv_bfloat16> one_row = RandomBf16(rng_, kWidth, 2.0f),
                                   weight = RandomBf16(rng_, kDim, 1.0f);
  std::vector<__nv_bfloat16> qkv;
  for (int row = 0; row < kRows; ++row) qkv.insert(qkv.end(), one_row.begin(), one_row.end());
  const DeviceArray<__nv_bfloat16> qkv_device(qkv), weight_device(weight);
  const DeviceArray<float2> angles(std::vector<float2>(size_t{kRows} * kDim / 2, {1.0f, 0.0f}));
  const DeviceArray<int32_t> slots(std::vector<int32_t>(kRows, 0));
  DeviceArray<__nv_bfloat16> keys(attention::kPageSlots * kDim), values(keys.size());
  DeviceArray<__nv_bfloat16> q(size_t{kRows} * kDim);
  rope::HeadNormRope params;
  params.qkv = Dense(qkv_device, kRows, kWidth);
  params.num_q_heads = 1;
  params.q_norm = params.k_norm = weight_device.get();
  params.eps = 1e-6f;
  params.angles = angles.get();
  params.slots = slots.get();
  params.pages = {keys.get(), values.get(), 1};
  params.q = q.get();
  ExpectOk(rope::RunHeadNormRope(params, nullptr));
  const std::vector<float> turned = ToFloats(q.ToHost());
  EXPECT_TRUE(std::equal(turned.begin(), turned.begin() + kDim, turned.end() - kDim));
}

}  // namespace
}  // namespace sluice::kernels
