// SPDX-License-Identifier: Apache-2.0
// How an AWQ weight lies in device memory. It is cut into tiles of 32 outputs by one group of 128
// inputs, and a tile is one record of kTileBytes, so that a single run of bytes brings everything
// about it:
//
//   [0, 2048)     u32 words [half 2][chunk 2][lane 32][step 4]: outputs 16 half + 0..15, inputs
//                 64 chunk + 0..63, in the order of mma.m16n8k16's A fragments (g = lane / 4, t =
//                 lane % 4). A word's eight 4-bit values, lowest bits first, are
//                   (g, k) (g+8, k) (g, k+8) (g+8, k+8) (g, k+1) (g+8, k+1) (g, k+9) (g+8, k+9)
//                 with k = 16 step + 2 t: the values of a register pair lie 16 bits apart.
//   [2048, 2112)  scales, bf16 or f16 as the checkpoint has them, [half 2][g 8][2]: of outputs g
//                 and g + 8
//   [2112, 2128)  zeros u32 [half 2][2]: 4 bits each, output g at bits 4g of the first word, g + 8
//                 of the second
//
// Records are in the order [tile of outputs][group]. weight = (q - zero) * scale, no +1 (AutoAWQ
// "gemm"). Four warps with neighbouring 16 outputs each hold the A fragment of wgmma.m64nNk16 the
// same way, and a step's inputs are neighbours, so that its activations can lie as they come.
#pragma once

#include <cstdint>

#include "kernels/host/host_device.h"

namespace sluice::kernels::awq {

inline constexpr int kTileOutputs = 32;
inline constexpr int kGroupInputs = 128;
inline constexpr int kTileWordBytes = 2048;
inline constexpr int kTileScaleBytes = 64;
inline constexpr int kTileZeroBytes = 16;
inline constexpr int kTileBytes = kTileWordBytes + kTileScaleBytes + kTileZeroBytes;
static_assert(kTileBytes % 16 == 0);

// How a checkpoint stores its scales. They are kept as they are: neither type holds the other's
// values.
enum class ScaleType : uint8_t { kBf16, kF16 };

// A rank's shard of one linear, or of several side by side (q, k, v; gate, up).
struct PackedAwq {
  const void* tiles = nullptr;  // device, aligned to 16 bytes
  int outputs = 0;              // a multiple of kTileOutputs
  int inputs = 0;               // a multiple of kGroupInputs
  ScaleType scale_type = ScaleType::kBf16;

  SLUICE_HOST_DEVICE int num_tiles() const { return outputs / kTileOutputs; }
  SLUICE_HOST_DEVICE int groups() const { return inputs / kGroupInputs; }
  SLUICE_HOST_DEVICE int64_t bytes() const { return int64_t{num_tiles()} * groups() * kTileBytes; }
};

}  // namespace sluice::kernels::awq
