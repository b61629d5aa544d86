// SPDX-License-Identifier: Apache-2.0
#include "kernels/awq/repack.h"
#include "kernels/device/launch.cuh"

namespace sluice::kernels::awq {
namespace {

constexpr int kThreads = 256;
constexpr int kWordsPerTile = kTileWordBytes / 4;

// Bits of output n within its word of eight: AutoAWQ stores them as 0 2 4 6 1 3 5 7.
__device__ int ShiftOf(int output) {
  const int lane = output % 8;
  return 4 * (lane % 2 * 4 + lane / 2);
}

__device__ uint32_t Nibble(const int32_t* matrix, int64_t row, int outputs, int output) {
  const int32_t word = matrix[row * (outputs / 8) + output / 8];
  return (static_cast<uint32_t>(word) >> ShiftOf(output)) & 0xfu;
}

struct Sources {
  AutoAwqTensors linear[kMaxInterleaved];
  int count;  // of them
};

// One block a tile.
__global__ void RepackKernel(const __grid_constant__ Sources sources, ShardRange range,
                             uint8_t* tiles, int groups, int first_tile) {
  const int group = static_cast<int>(blockIdx.x);
  const int tile = static_cast<int>(blockIdx.y);
  const int first_input = range.first_input + group * kGroupInputs;
  const int64_t stored_group = first_input / kGroupInputs;
  uint8_t* record = tiles + (int64_t{first_tile + tile} * groups + group) * kTileBytes;

  // Where an output of the tile comes from.
  const auto linear_of = [&](int output) -> const AutoAwqTensors& {
    return sources.linear[output % sources.count];
  };
  const auto stored_output = [&](int output) {
    return range.first_output + (tile * kTileOutputs + output) / sources.count;
  };
  static_assert(kTileOutputs % kMaxInterleaved == 0);  // turns begin with each tile

  auto* words = reinterpret_cast<uint32_t*>(record);
  for (int i = static_cast<int>(threadIdx.x); i < kWordsPerTile; i += kThreads) {
    const int step = i % 4, lane = i / 4 % 32, chunk = i / 128 % 2, half = i / 256;
    const int k = first_input + 64 * chunk + 16 * step + 2 * (lane % 4);
    const int output = FirstOutput(lane / 4, half);
    uint32_t word = 0;
    for (int place = 0; place < 8; ++place) {
      const AutoAwqTensors& linear = linear_of(output + place % 2);
      const int input = k + (place / 2 % 2) * 8 + place / 4;
      word |= Nibble(linear.qweight, input, linear.outputs, stored_output(output + place % 2))
              << 4 * place;
    }
    words[i] = word;
  }
  auto* scales = reinterpret_cast<uint16_t*>(record + kTileWordBytes);
  if (threadIdx.x < kTileOutputs) {
    const int half = static_cast<int>(threadIdx.x) / 16, g = static_cast<int>(threadIdx.x) / 2 % 8,
              upper = static_cast<int>(threadIdx.x) % 2;
    const int output = FirstOutput(g, half) + upper;
    const AutoAwqTensors& linear = linear_of(output);
    scales[threadIdx.x] = linear.scales[stored_group * linear.outputs + stored_output(output)];
  }
  auto* zeros = reinterpret_cast<uint32_t*>(record + kTileWordBytes + kTileScaleBytes);
  if (threadIdx.x < 4) {
    const int half = static_cast<int>(threadIdx.x) / 2, upper = static_cast<int>(threadIdx.x) % 2;
    uint32_t word = 0;
    for (int g = 0; g < 8; ++g) {
      const int output = FirstOutput(g, half) + upper;
      const AutoAwqTensors& linear = linear_of(output);
      word |= Nibble(linear.qzeros, stored_group, linear.outputs, stored_output(output)) << 4 * g;
    }
    zeros[threadIdx.x] = word;
  }
}

}  // namespace

LaunchResult Repack(std::span<const AutoAwqTensors> linears, const ShardRange& range,
                    const PackedAwq& packed, int first_packed_output, cudaStream_t stream) {
  if (linears.empty() || linears.size() > kMaxInterleaved) {
    return InvalidArguments("AWQ repack: one or two linears at a time");
  }
  const int count = static_cast<int>(linears.size());
  const int num_outputs = count * range.num_outputs;
  if (range.first_input % kGroupInputs != 0 || range.num_inputs % kGroupInputs != 0 ||
      range.first_output % 8 != 0 || range.num_outputs % kTileOutputs != 0 ||
      first_packed_output % kTileOutputs != 0) {
    return InvalidArguments("AWQ repack: the shard is not made of whole tiles");
  }
  if (range.num_inputs != packed.inputs || first_packed_output + num_outputs > packed.outputs) {
    return InvalidArguments("AWQ repack: the shard lies outside of the packed weight");
  }
  Sources sources = {.linear = {}, .count = count};
  for (size_t i = 0; i < linears.size(); ++i) {
    const AutoAwqTensors& linear = linears[i];
    if (range.first_input + range.num_inputs > linear.inputs ||
        range.first_output + range.num_outputs > linear.outputs) {
      return InvalidArguments("AWQ repack: the shard lies outside of its tensor");
    }
    if (linear.scale_type != packed.scale_type) {
      return InvalidArguments("AWQ repack: scales of another type than the packed weight's");
    }
    sources.linear[i] = linear;
  }
  const dim3 grid(static_cast<unsigned>(packed.groups()),
                  static_cast<unsigned>(num_outputs / kTileOutputs));
  if (grid.x == 0 || grid.y == 0) return {};
  return AfterLaunch(device::Launch(RepackKernel, grid, kThreads, 0, stream, sources, range,
                                    static_cast<uint8_t*>(const_cast<void*>(packed.tiles)),
                                    packed.groups(), first_packed_output / kTileOutputs),
                     "AWQ repack");
}

}  // namespace sluice::kernels::awq
