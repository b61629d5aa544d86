// SPDX-License-Identifier: Apache-2.0
// LoadPlan: which parts of a checkpoint's tensors a rank takes, in which pieces, and where each
// goes in the arena. Pure: names, shapes and offsets, no bytes.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/awq/packed_awq.h"
#include "worker/executor/cuda/device_weights.h"
#include "worker/model/qwen3_config.h"
#include "worker/weights/checkpoint.h"

namespace sluice::worker {

// What a rank needs of a stored tensor: a rectangle of elements as they are stored (of qweight a
// column is a word of eight outputs), and the type it is staged as.
struct TensorPart {
  ExpectedTensor tensor;
  int64_t first_row = 0;
  int64_t num_rows = 0;
  int64_t first_column = 0;
  int64_t num_columns = 0;
  DType staged = DType::kBF16;
  int64_t staged_offset = 0;  // in the slot, a multiple of 16
  int64_t row_stride = 1;     // of the staged rows: more where other parts' lie between them

  int64_t full_columns() const { return tensor.shape.size() == 1 ? 1 : tensor.shape[1]; }
  int64_t row_bytes() const { return num_columns * DTypeBytes(staged); }
  // From the first of its bytes to the last.
  int64_t staged_bytes() const { return ((num_rows - 1) * row_stride + 1) * row_bytes(); }
};

// The tensors of an AWQ linear, in this order.
inline constexpr size_t kAwqTensors = 3;  // qweight, qzeros, scales

// What a reader takes at a time: some outputs of a linear, or the same outputs of linears that take
// turns (gate, up).
struct LoadPiece {
  // bf16: a part for each linear, staged as they lie at `offset` of the arena. AWQ: kAwqTensors
  // for each linear, repacked into the packed linear at `offset`.
  std::vector<TensorPart> parts;
  int64_t offset = 0;
  kernels::awq::PackedAwq packed;  // the shape; AWQ only, as all below
  int first_packed_output = 0;
  int num_outputs = 0;  // of each linear

  bool is_awq() const { return packed.outputs > 0; }
  int num_linears() const {
    return static_cast<int>(is_awq() ? parts.size() / kAwqTensors : parts.size());
  }
  int64_t staged_bytes() const { return parts.back().staged_offset + parts.back().staged_bytes(); }
};

// Everything of the rank but inv_freq, each byte of it once. No piece stages more than slot_bytes,
// except where the smallest possible (a row or 32 outputs of each of its linears) already does.
std::vector<LoadPiece> PlanLoad(const Qwen3Config& config, const WeightLayout& layout, int rank,
                                int tp_size, int64_t slot_bytes);

}  // namespace sluice::worker
