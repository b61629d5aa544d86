// SPDX-License-Identifier: Apache-2.0
// From 4 bits to bf16. 0x4300 is 128 in bf16, and its lowest four bits of mantissa count in ones: a
// 4-bit value put there is 128 + q, exactly, and (128 + q) - (128 + zero) is exact too (the trick
// of Kim et al., arXiv:2211.10017, with bf16's shorter mantissa).
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>

#include "kernels/awq/packed_awq.h"
#include "kernels/device/alu.cuh"

namespace sluice::kernels::awq {

// A lane's zeros of one half of a tile, as pairs of 128 + zero: of its two outputs (FirstOutput).
struct WideZeros {
  __nv_bfloat162 low, high;
};

__device__ inline __nv_bfloat162 AsBf16Pair(uint32_t bits) {
  return *reinterpret_cast<const __nv_bfloat162*>(&bits);
}

// q - zero of the values at bits 0-3 and 16-19.
__device__ inline __nv_bfloat162 WidenPair(uint32_t bits, __nv_bfloat162 zero) {
  return __hsub2(AsBf16Pair(device::AndOr(bits, 0x000f000fu, 0x43004300u)), zero);
}

// word: the eight values of one step; a: mma.m16n8k16's A fragment of (q - zero).
__device__ inline void Widen(uint32_t word, const WideZeros& zeros, uint32_t (&a)[4]) {
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const __nv_bfloat162 value = WidenPair(word >> 4 * i, i % 2 == 0 ? zeros.low : zeros.high);
    a[i] = *reinterpret_cast<const uint32_t*>(&value);
  }
}

// What a lane needs of the scales and zeros of one half of a tile.
struct HalfScales {
  float scale[2];  // of FirstOutput, and the next
  WideZeros zeros;

  __device__ HalfScales(const uint8_t* record, ScaleType type, int index, int lane) {
    const int g = lane / 4;
    const float2 pair =
        AsFloats(reinterpret_cast<const uint32_t*>(record + kTileWordBytes)[8 * index + g], type);
    scale[0] = pair.x;
    scale[1] = pair.y;
    const uint2 words =
        reinterpret_cast<const uint2*>(record + kTileWordBytes + kTileScaleBytes)[index];
    zeros = {Pair(words.x, g), Pair(words.y, g)};
  }

 private:
  static __device__ float2 AsFloats(uint32_t pair, ScaleType type) {
    return type == ScaleType::kF16 ? __half22float2(*reinterpret_cast<const __half2*>(&pair))
                                   : __bfloat1622float2(AsBf16Pair(pair));
  }
  static __device__ __nv_bfloat162 Pair(uint32_t word, int g) {
    return AsBf16Pair((word >> 4 * g & 0xfu) * 0x00010001u + 0x43004300u);
  }
};

// The same of a tile.
struct TileScales {
  float scale[2][2];  // [half][FirstOutput, the next]
  WideZeros zeros[2];

  __device__ TileScales(const uint8_t* record, ScaleType type, int lane) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const HalfScales of_half(record, type, half, lane);
      scale[half][0] = of_half.scale[0];
      scale[half][1] = of_half.scale[1];
      zeros[half] = of_half.zeros;
    }
  }
};

}  // namespace sluice::kernels::awq
