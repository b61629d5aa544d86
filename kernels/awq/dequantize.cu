// SPDX-License-Identifier: Apache-2.0
#include "kernels/awq/dequantize.h"
#include "kernels/awq/widen.cuh"
#include "kernels/device/launch.cuh"

namespace sluice::kernels::awq {
namespace {

constexpr int kWarps = 8;

__device__ __nv_bfloat162 Scaled(__nv_bfloat162 pair, float scale) {
  const float2 value = __bfloat1622float2(pair);
  return __floats2bfloat162_rn(value.x * scale, value.y * scale);
}

// One warp a record; lane (g, t) takes of two outputs every fourth run of 8 inputs, 16
// bytes, so that the four lanes of an output write 64 bytes in a row, whole sectors, at a time.
__global__ void __launch_bounds__(32 * kWarps)
    DequantizeKernel(PackedAwq weight, __nv_bfloat16* out) {
  const int64_t record = int64_t{blockIdx.x} * kWarps + threadIdx.x / 32;
  if (record >= weight.num_records()) return;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int tile = static_cast<int>(record / weight.groups());
  const int group = static_cast<int>(record % weight.groups());
  const auto* bytes = static_cast<const uint8_t*>(weight.tiles) + record * kTileBytes;
  const TileScales scales(bytes, weight.scale_type, lane);
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int64_t output = int64_t{tile} * kTileOutputs + FirstOutput(lane / 4, half);
#pragma unroll
    for (int chunk = 0; chunk < 2; ++chunk) {
      const auto* words = reinterpret_cast<const uint32_t*>(bytes) + (half * 2 + chunk) * 128;
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        // A run of 8 inputs is half of a step: two inputs of each of four lanes' words.
        const int run = 4 * i + lane % 4;
        const auto* step = words + lane / 4 * 16 + run / 2;
        alignas(16) __nv_bfloat162 low[4];
        alignas(16) __nv_bfloat162 high[4];  // of the next output
#pragma unroll
        for (int t = 0; t < 4; ++t) {
          const uint32_t pairs = step[4 * t] >> 8 * (run % 2);
          low[t] = Scaled(WidenPair(pairs, scales.zeros[half].low), scales.scale[half][0]);
          high[t] = Scaled(WidenPair(pairs >> 4, scales.zeros[half].high), scales.scale[half][1]);
        }
        const int input = group * kGroupInputs + 64 * chunk + 8 * run;
        *reinterpret_cast<uint4*>(out + output * weight.inputs + input) =
            *reinterpret_cast<const uint4*>(low);
        *reinterpret_cast<uint4*>(out + (output + 1) * weight.inputs + input) =
            *reinterpret_cast<const uint4*>(high);
      }
    }
  }
}

}  // namespace

LaunchResult Dequantize(const PackedAwq& weight, __nv_bfloat16* out, cudaStream_t stream) {
  const int64_t records = weight.num_records();
  if (records == 0) return {};
  const auto blocks = static_cast<unsigned>((records + kWarps - 1) / kWarps);
  return AfterLaunch(device::Launch(DequantizeKernel, blocks, 32 * kWarps, 0, stream, weight, out),
                     "AWQ dequantize");
}

}  // namespace sluice::kernels::awq
