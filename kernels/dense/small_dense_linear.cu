// SPDX-License-Identifier: Apache-2.0
#include "kernels/dense/small_dense_linear.h"
#include "kernels/device/launch.cuh"
#include "kernels/device/mma.cuh"

namespace sluice::kernels::dense {
namespace {

constexpr int kWarps = 8;
constexpr int kThreads = 32 * kWarps;
constexpr int kBlockOutputs = 16;  // of one instruction
constexpr int kTokens = 8;         // of one instruction
constexpr int kChunkInputs = 64;   // 128 bytes of a row of W
constexpr int kAtOnce = 5;  // chunks of W under way together: 80 of 5120 inputs are 10 a warp

// A warp's place in the matrices. Chunk c is warp c % kWarps's. Within a chunk lane (g, t) loads of
// its rows, twice, the 8 inputs from 32 half + 8 t on: two instructions' worth. The order of inputs
// within a chunk is free, as long as W and x agree.
template <int kTokenTiles>
struct Lane {
  const __nv_bfloat16* low;  // of W: outputs g and g + 8
  const __nv_bfloat16* high;
  const __nv_bfloat16* x[kTokenTiles];  // tokens g

  // Adds kChunks chunks, from input on.
  template <int kChunks>
  __device__ void Add(int input, float (&sums)[kTokenTiles][4]) const {
    uint4 weights[kChunks][2][2];  // [chunk][half][low, high]
#pragma unroll
    for (int i = 0; i < 2 * kChunks; ++i) {
      const int at = input + i / 2 * kWarps * kChunkInputs + i % 2 * 32;
      // Once, and past the first cache, which x has to itself.
      weights[i / 2][i % 2][0] = __ldcs(reinterpret_cast<const uint4*>(low + at));
      weights[i / 2][i % 2][1] = __ldcs(reinterpret_cast<const uint4*>(high + at));
    }
#pragma unroll
    for (int i = 0; i < 2 * kChunks; ++i) {
      const int at = input + i / 2 * kWarps * kChunkInputs + i % 2 * 32;
      const auto& [l, h] = weights[i / 2][i % 2];
      const uint32_t first[4] = {l.x, h.x, l.y, h.y}, second[4] = {l.z, h.z, l.w, h.w};
#pragma unroll
      for (int tokens = 0; tokens < kTokenTiles; ++tokens) {
        const uint4 values = *reinterpret_cast<const uint4*>(x[tokens] + at);
        device::Mma16x8x16(sums[tokens], first, {values.x, values.y});
        device::Mma16x8x16(sums[tokens], second, {values.z, values.w});
      }
    }
  }
};

// A block has 16 outputs of all rows; its warps share the inputs and are added up in order.
template <int kTokenTiles>
__global__ void __launch_bounds__(kThreads, 2) SmallDenseKernel(DenseProduct p) {
  constexpr int kValues = kBlockOutputs * kTokenTiles * kTokens;
  __shared__ float parts[kWarps][kValues];  // [token][output]
  device::BeginChained();
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  const int g = lane / 4, t = lane % 4;
  const int first_output = static_cast<int>(blockIdx.x) * kBlockOutputs;
  const int inputs = p.shape.inputs;
  // Outputs and tokens beyond the last are the last one; their sums are not written.
  const auto weight_row = [&](int output) {
    return p.weight + int64_t{min(first_output + output, p.shape.outputs - 1)} * inputs + 8 * t;
  };
  Lane<kTokenTiles> place = {weight_row(g), weight_row(g + 8), {}};
#pragma unroll
  for (int tokens = 0; tokens < kTokenTiles; ++tokens) {
    place.x[tokens] = p.x + int64_t{min(tokens * kTokens + g, p.shape.rows - 1)} * inputs + 8 * t;
  }

  float sums[kTokenTiles][4] = {};
  const int chunks = inputs / kChunkInputs;
  int chunk = warp;
  for (; chunk + (kAtOnce - 1) * kWarps < chunks; chunk += kAtOnce * kWarps) {
    place.template Add<kAtOnce>(chunk * kChunkInputs, sums);
  }
  for (; chunk < chunks; chunk += kWarps) place.template Add<1>(chunk * kChunkInputs, sums);

#pragma unroll
  for (int tokens = 0; tokens < kTokenTiles; ++tokens) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int token = tokens * kTokens + 2 * t + i % 2, output = g + 8 * (i / 2);
      parts[warp][token * kBlockOutputs + output] = sums[tokens][i];
    }
  }
  __syncthreads();
  const int value = static_cast<int>(threadIdx.x);
  const int row = value / kBlockOutputs, output = first_output + value % kBlockOutputs;
  if (value >= kValues || row >= p.shape.rows || output >= p.shape.outputs) return;
  float sum = 0.0f;
#pragma unroll
  for (int i = 0; i < kWarps; ++i) sum += parts[i][value];
  const int64_t at = int64_t{row} * p.shape.outputs + output;
  if (p.shape.output_type == OutputType::kFloat) {
    static_cast<float*>(p.out)[at] = sum;
  } else {
    static_cast<__nv_bfloat16*>(p.out)[at] = __float2bfloat16(sum);
  }
}

template <int kTokenTiles>
LaunchResult Launch(const DenseProduct& product, cudaStream_t stream) {
  static_assert(kBlockOutputs * kTokenTiles * kTokens <= kThreads);
  const auto blocks =
      static_cast<unsigned>((product.shape.outputs + kBlockOutputs - 1) / kBlockOutputs);
  return AfterLaunch(
      device::LaunchChained(SmallDenseKernel<kTokenTiles>, blocks, kThreads, 0, stream, product),
      "small dense linear");
}

}  // namespace

bool TakesSmallDense(const DenseShape& shape) {
  return shape.rows >= 1 && shape.rows <= kMaxSmallDenseRows && shape.outputs >= 1 &&
         shape.inputs >= kChunkInputs && shape.inputs % kChunkInputs == 0;
}

LaunchResult RunSmallDense(const DenseProduct& product, cudaStream_t stream) {
  if (!TakesSmallDense(product.shape)) {
    return InvalidArguments("small dense linear: 1 to 16 rows, inputs a multiple of 64");
  }
  return product.shape.rows <= kTokens ? Launch<1>(product, stream) : Launch<2>(product, stream);
}

}  // namespace sluice::kernels::dense
