// SPDX-License-Identifier: Apache-2.0
// The linear kernel on the including file's Vec. Formula and order: linear.h. Vector lanes are
// outputs, so the width of a vector cannot change a bit; neither can the tiling, since every tile
// runs an output's fma chain from its first k to its last.
//
// For a block of 32 outputs, K is walked in blocks (at most 128 k); each is multiplied by kRowTile
// rows of x at a time. Weights are widened in registers, where the spare vector ports hide it; only
// AWQ with more rows than one tile is first expanded to floats (128 x 32, 16 KiB, in L1). Few rows:
// bound by reading weights, 0.5 (AWQ) to 4 bytes each. Many rows: bound by FMA.
#pragma once

namespace sluice::kernels::cpu::simd {
namespace {

constexpr int kVecs = kOutputs / Vec::kLanes;  // vectors of one block of outputs

// Partial sums of the slice tree, a binary counter: after slice s, level t holds a finished subtree
// of 2^t slices exactly when bit t of s + 1 is set. Each value is `size` floats.
struct SliceTree {
  float* levels;  // [kMaxDepth][size]
  int size;

  // Adds slice number s, which `sums` holds, and leaves the largest finished subtree in `sums`.
  void Push(int s, float* sums) const {
    int level = 0;
    for (; (s >> level) & 1; ++level) {
      const float* left = levels + level * size;
      for (int i = 0; i < size; i += Vec::kLanes) {
        Vec::Store(sums + i, Vec::Add(Vec::Load(left + i), Vec::Load(sums + i)));
      }
    }
    float* out = levels + level * size;
    for (int i = 0; i < size; i += Vec::kLanes) Vec::Store(out + i, Vec::Load(sums + i));
  }
};

inline void StoreOutputs(const float* sums, int64_t count, float* y) {
  if (count >= kOutputs) {
    for (int i = 0; i < kOutputs; i += Vec::kLanes) Vec::Store(y + i, Vec::Load(sums + i));
    return;
  }
  for (int64_t i = 0; i < count; ++i) y[i] = sums[i];
}

// Each format knows how to walk one block of K. Chain runs p[r][i] = fma(x[r][k], w[k], p[r][i])
// over the block for kRows rows and the kWide vectors of outputs from vector v on.

struct AwqFormat {
  static constexpr bool kExpands = true;
  // Nibble j of a word, still in place under the exponent of 2^(23 - 4j), reads as the float 2^(23
  // - 4j) + q. Subtracting 2^(23 - 4j) + z leaves q - z, exactly. j runs to 3; the word is then
  // shifted by 16.
  static constexpr uint32_t Mask(int j) { return 0xFu << (4 * j); }
  static constexpr uint32_t Bits(int j) { return static_cast<uint32_t>(127 + 23 - 4 * j) << 23; }
  static constexpr float Offset(int j) { return static_cast<float>(1 << (23 - 4 * j)); }

  struct Block {
    Vec::F zero[4][kVecs];  // 2^(23 - 4j) + z
    const uint32_t* words;
    const float* scale;
    Block(const LinearArgs& a, int64_t nb, int64_t k) {
      const int64_t group = nb * a.groups + k / a.block_inputs;
      words = a.words + nb * a.words_per_block + k / 8 * kOutputs;
      scale = a.scales + group * kOutputs;
      for (int v = 0; v < kVecs; ++v) {
        const Vec::F z = Vec::LoadU8(a.zeros + group * kOutputs + v * Vec::kLanes);
        for (int j = 0; j < 4; ++j) zero[j][v] = Vec::Add(z, Vec::Set(Offset(j)));
      }
    }
    Vec::F Scale(int v) const { return Vec::Load(scale + v * Vec::kLanes); }
  };

  template <int kRows, int kWide>
  static void Chain(const Block& block, int v, const float* x, int64_t x_stride, int num_k,
                    Vec::F (&p)[kRows][kWide]) {
    const uint32_t* words = block.words + v * Vec::kLanes;
    for (int k = 0; k < num_k; k += 8, words += kOutputs) {
      Vec::I w[kWide];
      for (int i = 0; i < kWide; ++i) w[i] = Vec::LoadWords(words + i * Vec::kLanes);
      FourInputs(block, v, x + k, x_stride, w, p);
      for (int i = 0; i < kWide; ++i) w[i] = Vec::ShiftRight16(w[i]);
      FourInputs(block, v, x + k + 4, x_stride, w, p);
    }
  }
  // The low four nibbles of w.
  template <int kRows, int kWide>
  static void FourInputs(const Block& block, int v, const float* x, int64_t x_stride,
                         const Vec::I* w, Vec::F (&p)[kRows][kWide]) {
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) {
      Vec::F q[kWide];
#pragma GCC unroll 8
      for (int i = 0; i < kWide; ++i) {
        q[i] = Vec::Sub(Vec::MaskOr(w[i], Mask(j), Bits(j)), block.zero[j][v + i]);
      }
#pragma GCC unroll 16
      for (int r = 0; r < kRows; ++r) {
        const Vec::F xk = Vec::Set(x[r * x_stride + j]);
#pragma GCC unroll 8
        for (int i = 0; i < kWide; ++i) p[r][i] = Vec::Fma(xk, q[i], p[r][i]);
      }
    }
  }
  // Writes q - z as floats [num_k][32].
  static void Expand(const Block& block, int num_k, float* tile) {
    const uint32_t* words = block.words;
    for (int k = 0; k < num_k; k += 8, words += kOutputs) {
      for (int v = 0; v < kVecs; ++v) {
        Vec::I w = Vec::LoadWords(words + v * Vec::kLanes);
        float* out = tile + k * kOutputs + v * Vec::kLanes;
        for (int half = 0; half < 2; ++half, w = Vec::ShiftRight16(w)) {
#pragma GCC unroll 4
          for (int j = 0; j < 4; ++j, out += kOutputs) {
            Vec::Store(out, Vec::Sub(Vec::MaskOr(w, Mask(j), Bits(j)), block.zero[j][v]));
          }
        }
      }
    }
  }
};

struct DenseBlock {
  const uint32_t* words;
  static Vec::F Scale(int) { return Vec::Set(1.0f); }
};

// One k: p[r][i] = fma(x[r * x_stride], w[i], p[r][i]).
template <int kRows, int kWide>
inline void OneInput(const float* x, int64_t x_stride, const Vec::F* w, Vec::F (&p)[kRows][kWide]) {
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
    const Vec::F xk = Vec::Set(x[r * x_stride]);
#pragma GCC unroll 8
    for (int i = 0; i < kWide; ++i) p[r][i] = Vec::Fma(xk, w[i], p[r][i]);
  }
}

struct Bf16Format {
  static constexpr bool kExpands = false;
  struct Block : DenseBlock {
    Block(const LinearArgs& a, int64_t nb, int64_t k)
        : DenseBlock{a.words + nb * a.words_per_block + k / 2 * kOutputs} {}
  };
  template <int kRows, int kWide>
  static void Chain(const Block& block, int v, const float* x, int64_t x_stride, int num_k,
                    Vec::F (&p)[kRows][kWide]) {
    const uint32_t* words = block.words + v * Vec::kLanes;
    Vec::F w[kWide];
    int k = 0;
    for (; k + 2 <= num_k; k += 2, words += kOutputs) {
#pragma GCC unroll 8
      for (int i = 0; i < kWide; ++i) w[i] = Vec::LowBf16(Vec::LoadWords(words + i * Vec::kLanes));
      OneInput(x + k, x_stride, w, p);
#pragma GCC unroll 8
      for (int i = 0; i < kWide; ++i) w[i] = Vec::HighBf16(Vec::LoadWords(words + i * Vec::kLanes));
      OneInput(x + k + 1, x_stride, w, p);
    }
    if (k == num_k) return;
    for (int i = 0; i < kWide; ++i) w[i] = Vec::LowBf16(Vec::LoadWords(words + i * Vec::kLanes));
    OneInput(x + k, x_stride, w, p);
  }
};

// F16 and F32 store one k after another.
template <typename Element, typename Loader>
struct PlainFormat {
  static constexpr bool kExpands = false;
  struct Block : DenseBlock {
    Block(const LinearArgs& a, int64_t nb, int64_t k)
        : DenseBlock{a.words + nb * a.words_per_block +
                     k * kOutputs * static_cast<int64_t>(sizeof(Element)) / 4} {}
  };
  template <int kRows, int kWide>
  static void Chain(const Block& block, int v, const float* x, int64_t x_stride, int num_k,
                    Vec::F (&p)[kRows][kWide]) {
    Walk(reinterpret_cast<const Element*>(block.words), v, x, x_stride, num_k, p);
  }
  template <int kRows, int kWide>
  static void Walk(const Element* elements, int v, const float* x, int64_t x_stride, int num_k,
                   Vec::F (&p)[kRows][kWide]) {
    const Element* in = elements + v * Vec::kLanes;
    for (int k = 0; k < num_k; ++k, in += kOutputs) {
      Vec::F w[kWide];
#pragma GCC unroll 8
      for (int i = 0; i < kWide; ++i) w[i] = Loader::Load(in + i * Vec::kLanes);
      OneInput(x + k, x_stride, w, p);
    }
  }
};
struct F16Loader {
  static Vec::F Load(const uint16_t* p) { return Vec::LoadF16(p); }
};
struct F32Loader {
  static Vec::F Load(const float* p) { return Vec::Load(p); }
};
using F16Format = PlainFormat<uint16_t, F16Loader>;
using F32Format = PlainFormat<float, F32Loader>;

// An AWQ block that Expand has written out.
struct ExpandedFormat {
  struct Block {
    const AwqFormat::Block& packed;
    const float* tile;
    Vec::F Scale(int v) const { return packed.Scale(v); }
  };
  template <int kRows, int kWide>
  static void Chain(const Block& block, int v, const float* x, int64_t x_stride, int num_k,
                    Vec::F (&p)[kRows][kWide]) {
    F32Format::Walk(block.tile, v, x, x_stride, num_k, p);
  }
};

// Vectors of outputs that kRows rows take at a time, so that sums stay in registers.
template <int kRows>
constexpr int kWideFor = kVecs < 2                    ? kVecs
                         : (kRows <= 3 && kVecs >= 4) ? 4
                                                      : 2;

// sums[r][32] = fma(block of row r, scale, sums[r]).
template <typename Format, int kRows>
inline void BlockRows(const typename Format::Block& block, int num_k, const float* x,
                      int64_t x_stride, float* sums) {
  constexpr int kWide = kWideFor<kRows>;
  for (int v = 0; v < kVecs; v += kWide) {
    Vec::F p[kRows][kWide];
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
      for (int i = 0; i < kWide; ++i) p[r][i] = Vec::Zero();
    }
    Format::Chain(block, v, x, x_stride, num_k, p);
#pragma GCC unroll 8
    for (int i = 0; i < kWide; ++i) {
      const Vec::F scale = block.Scale(v + i);
#pragma GCC unroll 16
      for (int r = 0; r < kRows; ++r) {
        float* sum = sums + r * kOutputs + (v + i) * Vec::kLanes;
        Vec::Store(sum, Vec::Fma(p[r][i], scale, Vec::Load(sum)));
      }
    }
  }
}

// As BlockRows, for rows <= kRows known only at run time.
template <typename Format, int kRows>
inline void BlockRowsTail(int rows, const typename Format::Block& block, int num_k, const float* x,
                          int64_t x_stride, float* sums) {
  if constexpr (kRows > 0) {
    if (rows == kRows) {
      BlockRows<Format, kRows>(block, num_k, x, x_stride, sums);
    } else {
      BlockRowsTail<Format, kRows - 1>(rows, block, num_k, x, x_stride, sums);
    }
  }
}

template <typename Format>
inline void BlockAllRows(const LinearArgs& a, const typename Format::Block& block, int64_t k,
                         int num_k, float* sums) {
  int row = 0;
  for (; row + Vec::kRowTile <= a.num_rows; row += Vec::kRowTile) {
    BlockRows<Format, Vec::kRowTile>(block, num_k, a.x + row * a.x_stride + k, a.x_stride,
                                     sums + row * kOutputs);
  }
  BlockRowsTail<Format, Vec::kRowTile - 1>(a.num_rows - row, block, num_k,
                                           a.x + row * a.x_stride + k, a.x_stride,
                                           sums + row * kOutputs);
}

template <typename Format>
inline void OutputBlock(const LinearArgs& a, int64_t nb) {
  alignas(64) float tile[128 * kOutputs];  // AWQ only
  alignas(64) float levels[kMaxDepth * kMaxRows * kOutputs];
  alignas(64) float sums[kMaxRows * kOutputs];
  const SliceTree tree{levels, a.num_rows * kOutputs};
  for (int s = 0; s < a.num_slices; ++s) {
    for (int i = 0; i < a.num_rows * kOutputs; i += Vec::kLanes) Vec::Store(sums + i, Vec::Zero());
    const int64_t end = (s + 1) * a.slice_inputs;
    for (int64_t k = s * a.slice_inputs; k < end; k += a.block_inputs) {
      const int num_k = static_cast<int>(end - k < a.block_inputs ? end - k : a.block_inputs);
      const typename Format::Block block(a, nb, k);
      if constexpr (Format::kExpands) {
        if (a.num_rows > Vec::kRowTile) {
          Format::Expand(block, num_k, tile);
          BlockAllRows<ExpandedFormat>(a, {block, tile}, k, num_k, sums);
          continue;
        }
      }
      BlockAllRows<Format>(a, block, k, num_k, sums);
    }
    tree.Push(s, sums);
  }
  for (int row = 0; row < a.num_rows; ++row) {
    StoreOutputs(sums + row * kOutputs, a.outputs - nb * kOutputs,
                 a.y + row * a.y_stride + nb * kOutputs);
  }
}

template <typename Format>
inline void LinearBlocks(const LinearArgs& a) {
  for (int64_t nb = a.block_begin; nb < a.block_end; ++nb) OutputBlock<Format>(a, nb);
}

void LinearKernel(const LinearArgs& a) {
  switch (a.format) {
    case WeightFormat::kAwq4:
      return LinearBlocks<AwqFormat>(a);
    case WeightFormat::kBf16:
      return LinearBlocks<Bf16Format>(a);
    case WeightFormat::kF16:
      return LinearBlocks<F16Format>(a);
    case WeightFormat::kF32:
      return LinearBlocks<F32Format>(a);
  }
}

}  // namespace
}  // namespace sluice::kernels::cpu::simd
