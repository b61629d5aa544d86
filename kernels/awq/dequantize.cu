// SPDX-License-Identifier: Apache-2.0
#include "kernels/awq/dequantize.h"
#include "kernels/awq/widen.cuh"
#include "kernels/device/launch.cuh"

namespace sluice::kernels::awq {
namespace {

constexpr int kWarps = 8;

__device__ __nv_bfloat162 Scaled(uint32_t pair, float scale) {
  const float2 value = __bfloat1622float2(AsBf16Pair(pair));
  return __floats2bfloat162_rn(value.x * scale, value.y * scale);
}

// One warp a record; lane (g, t) takes of outputs g and g + 8 every fourth run of 8 inputs, 16
// bytes, so that the four lanes of an output write 64 bytes in a row, whole sectors, at a time.
__global__ void __launch_bounds__(32 * kWarps)
    DequantizeKernel(PackedAwq weight, __nv_bfloat16* out) {
  const int64_t record = int64_t{blockIdx.x} * kWarps + threadIdx.x / 32;
  if (record >= int64_t{weight.num_tiles()} * weight.groups()) return;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int tile = static_cast<int>(record / weight.groups());
  const int group = static_cast<int>(record % weight.groups());
  const auto* bytes = static_cast<const uint8_t*>(weight.tiles) + record * kTileBytes;
  const TileScales scales(bytes, weight.scale_type, lane);
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int64_t output = int64_t{tile} * kTileOutputs + 16 * half + lane / 4;
#pragma unroll
    for (int chunk = 0; chunk < 2; ++chunk) {
      // Two words are the steps of 8 inputs; an output has 8 such runs in a chunk.
      const auto* runs = reinterpret_cast<const uint2*>(bytes) + (half * 2 + chunk) * 64;
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const int run = 4 * i + lane % 4;
        const uint2 packed = runs[lane / 4 * 8 + run];
        const uint32_t steps[2] = {packed.x, packed.y};
        alignas(16) __nv_bfloat162 low[4];
        alignas(16) __nv_bfloat162 high[4];  // of outputs g and g + 8
#pragma unroll
        for (int step = 0; step < 2; ++step) {
          uint32_t a[4];
          Widen(steps[step], scales.zeros[half], a);
          low[2 * step] = Scaled(a[0], scales.scale[half][0]);
          low[2 * step + 1] = Scaled(a[2], scales.scale[half][0]);
          high[2 * step] = Scaled(a[1], scales.scale[half][1]);
          high[2 * step + 1] = Scaled(a[3], scales.scale[half][1]);
        }
        const int input = group * kGroupInputs + 64 * chunk + 8 * run;
        *reinterpret_cast<uint4*>(out + output * weight.inputs + input) =
            *reinterpret_cast<const uint4*>(low);
        *reinterpret_cast<uint4*>(out + (output + 8) * weight.inputs + input) =
            *reinterpret_cast<const uint4*>(high);
      }
    }
  }
}

}  // namespace

LaunchResult Dequantize(const PackedAwq& weight, __nv_bfloat16* out, cudaStream_t stream) {
  const int64_t records = int64_t{weight.num_tiles()} * weight.groups();
  if (records == 0) return {};
  const auto blocks = static_cast<unsigned>((records + kWarps - 1) / kWarps);
  return AfterLaunch(device::Launch(DequantizeKernel, blocks, 32 * kWarps, 0, stream, weight, out),
                     "AWQ dequantize");
}

}  // namespace sluice::kernels::awq
