// SPDX-License-Identifier: Apache-2.0
// Reads LinearOutput.
#pragma once

#include "kernels/awq/linear_output.h"
#include "kernels/device/bf16.cuh"
#include "kernels/device/float4.cuh"

namespace sluice::kernels::awq {

// kCount runs of four neighbouring outputs, in any row. Where a value is the sum of pieces, which
// pieces there are is found out once, and the loads of all runs are under way together.
// kMayBeScaled: false where the launcher has seen that there is no row scale, whose registers are
// missed where it takes many warps to keep memory busy.
template <int kCount, bool kMayBeScaled = true>
class OutputColumns {
 public:
  // columns: where the runs begin, multiples of 4. Reads nothing of the output yet, so a chained
  // kernel makes it before it waits.
  __device__ OutputColumns(const LinearOutput& output, const int (&columns)[kCount])
      : output_(output) {
    MoveTo(columns);
  }

  // To other ones, as the constructor's.
  __device__ void MoveTo(const int (&columns)[kCount]) {
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      columns_[i] = columns[i];
      if (output_.partials != nullptr) {
        pieces_[i] = output_.plan.NumPieces(columns[i] / output_.plan.tile_outputs);
      }
    }
  }

  __device__ void Load(int row, float4 (&values)[kCount]) const {
    // Asked for first and added up last, so that they are under way together with the values.
    float4 squares[kRowParts / 4] = {};
    const bool scaled = kMayBeScaled && output_.row_scale.squares != nullptr;
    if (scaled) LoadSquares(row, squares);
    LoadUnscaled(row, values);
    if (!scaled) return;
    const float factor = Factor(squares);
#pragma unroll
    for (int i = 0; i < kCount; ++i) values[i] = device::Scaled(values[i], factor);
  }

 private:
  static constexpr int kAtOnce = kCount == 1 ? 8 : 4;  // pieces under way before any is added

  __device__ void LoadSquares(int row, float4 (&squares)[kRowParts / 4]) const {
    const auto* const from =
        reinterpret_cast<const float4*>(output_.row_scale.squares + row * kRowParts);
#pragma unroll
    for (int i = 0; i < kRowParts / 4; ++i) squares[i] = from[i];
  }

  __device__ float Factor(const float4 (&squares)[kRowParts / 4]) const {
    float sum = 0.0f;
#pragma unroll
    for (int i = 0; i < kRowParts / 4; ++i) {
      sum = sum + squares[i].x + squares[i].y + squares[i].z + squares[i].w;
    }
    return rsqrtf(sum / static_cast<float>(output_.row_scale.width) + output_.row_scale.eps);
  }

  __device__ void LoadUnscaled(int row, float4 (&values)[kCount]) const {
    const int64_t first = int64_t{row} * output_.outputs;
    if (output_.partials != nullptr) {
      AddPieces(output_.partials + first, values);
      return;
    }
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      if (output_.values != nullptr) {
        values[i] = device::Load4Bf16(output_.values + first + columns_[i]);
      } else {
        values[i] = *reinterpret_cast<const float4*>(output_.float_values + first + columns_[i]);
      }
    }
  }

  __device__ void AddPieces(const float* from, float4 (&sums)[kCount]) const {
    const SplitPlan& plan = output_.plan;
    const int64_t stride = int64_t{output_.rows} * output_.outputs;
#pragma unroll
    for (int k = 0; k < kCount; ++k) sums[k] = {0.0f, 0.0f, 0.0f, 0.0f};
    const int all = plan.slices * plan.max_pieces;
    int piece = 0;  // within its slice
    for (int done = 0; done < all; done += kAtOnce) {
      float4 parts[kAtOnce][kCount];
#pragma unroll
      for (int i = 0; i < kAtOnce; ++i) {
#pragma unroll
        for (int k = 0; k < kCount; ++k) {
          parts[i][k] = {0.0f, 0.0f, 0.0f, 0.0f};
          if (done + i < all && piece < pieces_[k]) {
            parts[i][k] = *reinterpret_cast<const float4*>(from + columns_[k]);
          }
        }
        from += stride;
        piece = piece + 1 == plan.max_pieces ? 0 : piece + 1;
      }
#pragma unroll
      for (int i = 0; i < kAtOnce; ++i) {
#pragma unroll
        for (int k = 0; k < kCount; ++k) device::AddTo(sums[k], parts[i][k]);
      }
    }
  }

  const LinearOutput& output_;
  int columns_[kCount];
  int pieces_[kCount];  // of each slice
};

}  // namespace sluice::kernels::awq
