// SPDX-License-Identifier: Apache-2.0
// A random AutoAWQ linear, as a checkpoint stores it, and a rank's shard of it on the CPU and
// packed on the device.
#pragma once

#include "kernels/awq/repack.h"
#include "kernels/cpu/linear.h"
#include "kernels/cpu/linear_pack.h"
#include "kernels/cpu/thread_pool.h"
#include "tests/kernels/cuda/device_array.h"

#include <cuda_fp16.h>

namespace sluice::kernels::awq {

// A random AutoAWQ linear on the host. Its fields are drawn as the words are stored: any bits mean
// something.
struct Checkpoint {
  int inputs, outputs;
  ScaleType scale_type;
  std::vector<int32_t> qweight, qzeros;
  std::vector<uint16_t> scales;

  Checkpoint(int num_inputs, int num_outputs, unsigned seed, ScaleType type = ScaleType::kBf16)
      : inputs(num_inputs), outputs(num_outputs), scale_type(type) {
    std::mt19937 rng(seed);
    qweight.resize(size_t{1} * inputs * outputs / 8);
    qzeros.resize(size_t{1} * inputs / 128 * outputs / 8);
    for (int32_t& word : qweight) word = static_cast<int32_t>(rng());
    for (int32_t& word : qzeros) word = static_cast<int32_t>(rng());
    for (int i = 0; i < inputs / 128 * outputs; ++i) {
      const float scale = 0.002f + 0.01f * static_cast<float>(rng() % 1000) / 1000.0f;
      scales.push_back(Rounded(scale));
    }
  }

  // As a checkpoint of this type stores it.
  uint16_t Rounded(float scale) const {
    return scale_type == ScaleType::kBf16 ? __bfloat16_as_ushort(__float2bfloat16(scale))
                                          : __half_as_ushort(__float2half(scale));
  }

  cpu::LinearWeight OnCpu(const ShardRange& range, cpu::ThreadPool& pool) const {
    cpu::LinearWeight weight({.format = cpu::LinearWeight::Format::kAwq4,
                              .outputs = range.num_outputs,
                              .inputs = range.num_inputs,
                              .full_inputs = range.num_inputs,
                              .group_size = 128});
    cpu::PackAwq({.qweight = qweight.data(),
                  .qzeros = qzeros.data(),
                  .scales = scales.data(),
                  .scales_type =
                      scale_type == ScaleType::kBf16 ? cpu::FloatType::kBf16 : cpu::FloatType::kF16,
                  .full_outputs = outputs,
                  .out_begin = range.first_output,
                  .in_begin = range.first_input},
                 0, range.num_outputs, pool, &weight);
    return weight;
  }
};

// What it stores, on the device.
struct StoredOnDevice {
  DeviceArray<int32_t> qweight, qzeros;
  DeviceArray<uint16_t> scales;
  AutoAwqTensors tensors;

  explicit StoredOnDevice(const Checkpoint& checkpoint)
      : qweight(checkpoint.qweight), qzeros(checkpoint.qzeros), scales(checkpoint.scales) {
    tensors = {qweight.get(),     qzeros.get(),       scales.get(),
               checkpoint.inputs, checkpoint.outputs, checkpoint.scale_type};
  }
};

// A shard of it, packed on the device; or of two whose outputs take turns.
struct OnDevice {
  DeviceArray<uint8_t> tiles;
  PackedAwq packed;

  OnDevice(const Checkpoint& checkpoint, const ShardRange& range)
      : OnDevice(1, checkpoint.scale_type, range) {
    const StoredOnDevice stored(checkpoint);
    ExpectOk(Repack({&stored.tensors, 1}, range, packed, 0, nullptr));
  }
  OnDevice(const Checkpoint& even, const Checkpoint& odd, const ShardRange& range)
      : OnDevice(2, even.scale_type, range) {
    const StoredOnDevice stored_even(even), stored_odd(odd);
    const AutoAwqTensors linears[] = {stored_even.tensors, stored_odd.tensors};
    ExpectOk(Repack(linears, range, packed, 0, nullptr));
  }

 private:
  OnDevice(int linears, ScaleType scale_type, const ShardRange& range)
      : tiles(static_cast<size_t>(
            PackedAwq{nullptr, linears * range.num_outputs, range.num_inputs}.bytes())) {
    packed = {tiles.get(), linears * range.num_outputs, range.num_inputs, scale_type};
  }
};

}  // namespace sluice::kernels::awq
