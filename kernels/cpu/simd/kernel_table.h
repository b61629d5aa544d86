// SPDX-License-Identifier: Apache-2.0
// The seam between the operations and their per-instruction-set code: plain argument structs and
// one table of functions per instruction set. Each table_*.cc is compiled with its own flags, so
// nothing inline may be shared between those files but what lives in their anonymous namespace: an
// inline function emitted twice would let the linker keep the AVX-512 copy for everybody.
#pragma once

#include <cstdint>

namespace sluice::kernels::cpu::simd {

inline constexpr int kOutputs = 32;    // kBlockOutputs
inline constexpr int kMaxRows = 96;    // rows of x that one task multiplies by a dequantized tile
inline constexpr int kMaxDepth = 4;    // levels of the slice tree: log2(8) + 1
inline constexpr int kPageSlots = 64;  // kKvPageSlots
inline constexpr int kMaxDim = 256;    // kMaxHeadDim
inline constexpr int kMaxTileRows = 48;

enum class WeightFormat { kAwq4, kBf16, kF16, kF32 };

// Blocks [block_begin, block_end) of 32 outputs, rows [0, num_rows) of x; see linear.h.
struct LinearArgs {
  WeightFormat format;
  const uint32_t* words;
  const float* scales;   // kAwq4 only
  const uint8_t* zeros;  // kAwq4 only
  int64_t words_per_block;
  int64_t groups;   // kAwq4: scales per output
  int64_t outputs;  // stores beyond are dropped
  int num_slices;
  int64_t slice_inputs;
  int block_inputs;
  const float* x;
  int64_t x_stride;
  int num_rows;  // at most kMaxRows
  float* y;
  int64_t y_stride;
  int64_t block_begin, block_end;
};

// A tile of queries of one row against its pages, for one KV head; see attention.h. Tile row r is
// query pointer q[r] and attends to positions 0 ... position[r]; positions do not descend.
struct AttentionArgs {
  const float* keys;    // page 0, this KV head: [head_dim][64]
  const float* values;  // page 0, this KV head: [64][head_dim]
  int64_t page_floats;
  const int32_t* page_table;
  int head_dim;
  float scale;
  int num_rows;  // at most kMaxTileRows
  const float* const* q;
  float* const* out;
  const int32_t* position;
};

struct KernelTable {
  void (*linear)(const LinearArgs& args);
  void (*attention)(const AttentionArgs& args);
  // y = weight * (x * rsqrt(mean(x^2) + eps)); see norm.h.
  void (*rms_norm)(const float* x, const float* weight, float eps, int64_t width, float* y);
  // x += y
  void (*add)(float* x, const float* y, int64_t num);
  // In place on one head; see rope.h.
  void (*rotate)(float* head, int half, const float* cos, const float* sin);
  void (*silu_mul)(const float* gate, const float* up, int64_t num, float* out);
  // Sum of exp(x[i] - shift): 16 lanes by i mod 16 ascending, then + 8, + 4, + 2, + 1.
  float (*sum_exp)(const float* x, float shift, int64_t num);
  // out[i] = exp(x[i]), x <= 0 or anything; see vec_math.h.
  void (*exp)(const float* x, int64_t num, float* out);
  // Largest value, and false in *finite when any value is NaN or infinite.
  float (*max_finite)(const float* x, int64_t num, bool* finite);
};

// Null where this build has no such code.
const KernelTable* GenericTable();
const KernelTable* X86V2Table();
const KernelTable* X86V3Table();
const KernelTable* X86V4Table();

// The table of ActiveIsa().
const KernelTable& Active();

}  // namespace sluice::kernels::cpu::simd
