// SPDX-License-Identifier: Apache-2.0
// How an AWQ weight lies in device memory. It is cut into tiles of 32 outputs by one group of 128
// inputs, and a tile is one record of kTileBytes, so that a single run of bytes brings everything
// about it:
//
//   [0, 2048)     u32 words [half 2][chunk 2][lane 32][step 4]: 16 of the outputs, inputs
//                 64 chunk + 0..63, in the order of mma.m16n8k16's A fragments (g = lane / 4, t =
//                 lane % 4). Row g of a half is output n = 4 g + 2 half, row g + 8 output n + 1. A
//                 word's eight 4-bit values, lowest bits first, are
//                   (n, k) (n+1, k) (n, k+8) (n+1, k+8) (n, k+1) (n+1, k+1) (n, k+9) (n+1, k+9)
//                 with k = 16 step + 2 t: the values of a register pair lie 16 bits apart.
//   [2048, 2112)  scales, bf16 or f16 as the checkpoint has them, [half 2][g 8][2]: of outputs n
//                 and n + 1
//   [2112, 2128)  zeros u32 [half 2][2]: 4 bits each, output n at bits 4g of the first word, n + 1
//                 of the second
//   [2128, 2176)  nothing: a record is whole lines of 128 bytes. Copies of records that share lines
//                 reach 2.8 TB/s on an H100, of these 3.0; a step of one row is 3.7 % shorter.
//
// Records are in the order [tile of outputs][group]. weight = (q - zero) * scale, no +1 (AutoAWQ
// "gemm"). Four warps with 16 outputs each hold the A fragment of wgmma.m64nNk16 the same way. A
// step's inputs are neighbours, so that its activations can lie as they come; what a lane has of a
// tile's outputs are four neighbours, so that sums leave 16 bytes at a time.
#pragma once

#include <cstdint>

#include "kernels/host/host_device.h"

namespace sluice::kernels::awq {

inline constexpr int kTileOutputs = 32;
inline constexpr int kGroupInputs = 128;
inline constexpr int kTileWordBytes = 2048;
inline constexpr int kTileScaleBytes = 64;
inline constexpr int kTileZeroBytes = 16;
inline constexpr int kTileContentBytes = kTileWordBytes + kTileScaleBytes + kTileZeroBytes;
inline constexpr int kTileBytes = (kTileContentBytes + 127) / 128 * 128;

// Within the tile: of rows g and g + 8 of a half's fragments, the latter being the next output.
SLUICE_HOST_DEVICE constexpr int FirstOutput(int g, int half) { return 4 * g + 2 * half; }

// How a checkpoint stores its scales. They are kept as they are: neither type holds the other's
// values.
enum class ScaleType : uint8_t { kBf16, kF16 };

// A rank's shard of one linear, or of several (q, k and v side by side, gate and up in turns).
struct PackedAwq {
  const void* tiles = nullptr;  // device, aligned to 128 bytes
  int outputs = 0;              // a multiple of kTileOutputs
  int inputs = 0;               // a multiple of kGroupInputs
  ScaleType scale_type = ScaleType::kBf16;

  SLUICE_HOST_DEVICE int num_tiles() const { return outputs / kTileOutputs; }
  SLUICE_HOST_DEVICE int groups() const { return inputs / kGroupInputs; }
  SLUICE_HOST_DEVICE int64_t num_records() const { return int64_t{num_tiles()} * groups(); }
  SLUICE_HOST_DEVICE int64_t bytes() const { return num_records() * kTileBytes; }
  // What has to be read of them.
  SLUICE_HOST_DEVICE int64_t content_bytes() const { return num_records() * kTileContentBytes; }
};

}  // namespace sluice::kernels::awq
