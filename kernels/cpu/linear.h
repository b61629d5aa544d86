// SPDX-License-Identifier: Apache-2.0
// Linear: y = x W^T in one order of summation for every batch size, thread count, instruction set
// and number of ranks. That order is the contract (reference/linear_reference.h spells it as plain
// loops):
//
//   block(b)  p = +0; for k in the block, ascending: p = fma(x[k], w[n][k], p)
//             w = weight, or float(q - z)
//
//   slice(s)  a = +0; for b in the slice, ascending: a = fma(block(b), scale[n][b], a)
//             dense: scale 1
//
//   y[n]      slices summed by a balanced binary tree: ((s0+s1)+(s2+s3))+((s4+s5)+(s6+s7))
//
// K is cut into S = NumSlices(K of the whole model) equal slices. A row-parallel shard holds S /
// world_size consecutive slices, sums its own subtree, and the all-reduce over ranks continues the
// same tree; so tensor parallel 1, 2, 4 and 8 give the same bits. A block is one AWQ group, or 128
// consecutive k of a dense weight. AWQ: w = (q - z) * scale, no +1 on zeros (AutoAWQ "gemm"; q - z
// is an exact small integer in float).
#pragma once

#include <cstdint>
#include <memory>

#include "kernels/cpu/float_type.h"
#include "kernels/cpu/thread_pool.h"

namespace sluice::kernels::cpu {

// Outputs that one packed block of a weight holds side by side; N is padded up to it.
inline constexpr int kBlockOutputs = 32;
// Consecutive k of one dense block, and the unit in which K is cut into slices.
inline constexpr int kSliceUnit = 128;

// Slices of a dot product over full_k: the largest of 8, 4, 2, 1 that divides full_k / 128; 1 when
// full_k is not a multiple of 128. A row-parallel split over world_size ranks keeps the tree (and
// is allowed) only if NumSlices(full_k) % world_size == 0.
int NumSlices(int64_t full_k);

// One packed weight (or several fused along N, such as q, k and v). Immutable once packed; shared
// by threads. Layouts, B = kBlockOutputs, n = nb * B + lane, padded lanes zero:
//   kAwq4  words  u32 [N/B][K/8][B]            nibble j of a word is q[n][8 * kw + j]
//          scales f32 [N/B][K/group][B], zeros u8 [N/B][K/group][B]
//   kBf16  words  u32 [N/B][ceil(K/2)][B]      low half k even, high half k odd
//   kF16   halves u16 [N/B][K][B]
//   kF32   floats f32 [N/B][K][B]
class LinearWeight {
 public:
  enum class Format : uint8_t { kAwq4, kBf16, kF16, kF32 };
  struct Spec {
    Format format = Format::kF32;
    int64_t outputs = 0;      // N of this shard
    int64_t inputs = 0;       // K of this shard
    int64_t full_inputs = 0;  // K of the whole model; a shard holds whole slices of it
    int group_size = 128;     // kAwq4 only: consecutive k per scale; 32, 64 or 128
  };

  LinearWeight() = default;
  // Allocates zeroed storage. REQUIRES: inputs is a multiple of full_inputs /
  // NumSlices(full_inputs), by a power of two; for kAwq4 group_size divides inputs and the slice
  // length, and is a multiple of 8.
  explicit LinearWeight(const Spec& spec);

  const Spec& spec() const { return spec_; }
  int64_t num_blocks() const { return (spec_.outputs + kBlockOutputs - 1) / kBlockOutputs; }
  int num_slices() const { return num_slices_; }  // of this shard
  int64_t slice_inputs() const { return spec_.inputs / num_slices_; }
  int block_inputs() const { return spec_.format == Format::kAwq4 ? spec_.group_size : kSliceUnit; }
  // Bytes of packed storage, padding included.
  int64_t bytes() const { return words_bytes_ + scales_bytes_ + zeros_bytes_; }
  int64_t words_per_block() const { return words_bytes_ / (num_blocks() * 4); }  // in u32
  int64_t groups() const { return spec_.inputs / spec_.group_size; }             // kAwq4 only

  const uint32_t* words() const { return reinterpret_cast<const uint32_t*>(words_.get()); }
  const float* scales() const { return reinterpret_cast<const float*>(scales_.get()); }
  const uint8_t* zeros() const { return reinterpret_cast<const uint8_t*>(zeros_.get()); }
  // For the packers of linear_pack.h.
  uint32_t* mutable_words() { return reinterpret_cast<uint32_t*>(words_.get()); }
  float* mutable_scales() { return reinterpret_cast<float*>(scales_.get()); }
  uint8_t* mutable_zeros() { return reinterpret_cast<uint8_t*>(zeros_.get()); }

 private:
  struct Free {
    void operator()(std::byte* data) const;
  };
  using Storage = std::unique_ptr<std::byte, Free>;  // aligned to 64 bytes
  static Storage Allocate(int64_t bytes);

  Spec spec_;
  int num_slices_ = 1;
  int64_t words_bytes_ = 0, scales_bytes_ = 0, zeros_bytes_ = 0;
  Storage words_, scales_, zeros_;
};

// y[m][n] for m in [0, num_rows), n in [0, outputs).
//   x  [num_rows][x_stride] f32, the first `inputs` of each row are read
//   y  [num_rows][y_stride] f32, the first `outputs` of each row are written; must not overlap x
// A row's result depends on that row and the weight alone.
void Linear(const LinearWeight& weight, const float* x, int64_t x_stride, int64_t num_rows,
            float* y, int64_t y_stride, ThreadPool& pool);

}  // namespace sluice::kernels::cpu
