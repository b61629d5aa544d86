// SPDX-License-Identifier: Apache-2.0
// Packing: rearranges checkpoint tensors into LinearWeight's layout. Sources are described with
// offsets and strides, so that a loader shards and fuses (q, k, v into one weight) by naming
// sub-blocks of mapped files, which may be unaligned. Called once per tensor while loading.
#pragma once

#include <cstdint>

#include "kernels/cpu/float_type.h"
#include "kernels/cpu/linear.h"
#include "kernels/cpu/thread_pool.h"

namespace sluice::kernels::cpu {

// A sub-block of a Hugging Face weight, row major [out][in].
struct DenseSource {
  const void* data = nullptr;  // element [0][0] of the whole tensor
  FloatType type = FloatType::kF32;
  int64_t row_stride = 0;  // elements from one output to the next: in_features of the whole tensor
  int64_t out_begin = 0;   // the first output and input to take
  int64_t in_begin = 0;
};

// Packs num_outputs x weight->spec().inputs elements into outputs [output_begin, output_begin +
// num_outputs). REQUIRES: the weight's format is the source's type, or kF32 (which takes any).
void PackDense(const DenseSource& source, int64_t output_begin, int64_t num_outputs,
               ThreadPool& pool, LinearWeight* weight);

// A sub-block of an AutoAWQ "gemm" linear: three tensors packed along the outputs. Bit field i
// (bits 4i..4i+3) of word c is logical column 8c + {0, 2, 4, 6, 1, 3, 5, 7}[i] (AutoAWQ,
// awq/utils/packing_utils.py).
struct AwqSource {
  const void* qweight = nullptr;  // int32 [in][out / 8]
  const void* qzeros = nullptr;   // int32 [in / group][out / 8]
  const void* scales = nullptr;   // scales_type [in / group][out]
  FloatType scales_type = FloatType::kF16;
  int64_t full_outputs = 0;  // `out` of the whole tensor: its strides
  int64_t out_begin = 0;     // multiple of 8
  int64_t in_begin = 0;      // multiple of the group size
};

// As PackDense, for a kAwq4 weight. REQUIRES: num_outputs is a multiple of 8.
void PackAwq(const AwqSource& source, int64_t output_begin, int64_t num_outputs, ThreadPool& pool,
             LinearWeight* weight);

}  // namespace sluice::kernels::cpu
