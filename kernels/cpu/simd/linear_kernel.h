// SPDX-License-Identifier: Apache-2.0
// The linear kernel on the including file's Vec. Formula and order: linear.h. Vector lanes are
// outputs, so the width of a vector cannot change a bit.
//
//   one row of x    Gemv: streams the packed weight once, 32 outputs of a block side by side
//                   reads 0.5 (AWQ) to 4 bytes per weight; bound by memory once the weight leaves
//                   the cache
//   several rows    dequantizes one block of K (at most 128 x 32 floats, 16 KiB, in L1) and
//   multiplies it by
//                   kRowTile rows at a time; bound by FMA
//
// Both run the same chain of fma for an output, so M does not change a bit either.
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

// Each format knows how to walk one block of K: Chain runs p = fma(x[k], w[k], p) for one row,
// Expand writes the block as floats [num_k][32].

struct AwqFormat {
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

  static void Chain(const Block& block, const float* x, int num_k, Vec::F* p) {
    const uint32_t* words = block.words;
    for (int k = 0; k < num_k; k += 8, words += kOutputs) {
      Vec::I w[kVecs];
      for (int v = 0; v < kVecs; ++v) w[v] = Vec::LoadWords(words + v * Vec::kLanes);
      Half(block, x + k, w, p);
      for (int v = 0; v < kVecs; ++v) w[v] = Vec::ShiftRight16(w[v]);
      Half(block, x + k + 4, w, p);
    }
  }
  static void Half(const Block& block, const float* x, const Vec::I* w, Vec::F* p) {
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) {
      const Vec::F xk = Vec::Set(x[j]);
#pragma GCC unroll 8
      for (int v = 0; v < kVecs; ++v) {
        const Vec::F q = Vec::MaskOr(w[v], Mask(j), Bits(j));
        p[v] = Vec::Fma(xk, Vec::Sub(q, block.zero[j][v]), p[v]);
      }
    }
  }
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

struct Bf16Format {
  struct Block : DenseBlock {
    Block(const LinearArgs& a, int64_t nb, int64_t k)
        : DenseBlock{a.words + nb * a.words_per_block + k / 2 * kOutputs} {}
  };
  static void Chain(const Block& block, const float* x, int num_k, Vec::F* p) {
    const uint32_t* words = block.words;
    int k = 0;
    for (; k + 2 <= num_k; k += 2, words += kOutputs) {
      const Vec::F x0 = Vec::Set(x[k]);
      const Vec::F x1 = Vec::Set(x[k + 1]);
#pragma GCC unroll 8
      for (int v = 0; v < kVecs; ++v) {
        const Vec::I w = Vec::LoadWords(words + v * Vec::kLanes);
        p[v] = Vec::Fma(x0, Vec::LowBf16(w), p[v]);
        p[v] = Vec::Fma(x1, Vec::HighBf16(w), p[v]);
      }
    }
    if (k == num_k) return;
    const Vec::F x0 = Vec::Set(x[k]);
    for (int v = 0; v < kVecs; ++v) {
      p[v] = Vec::Fma(x0, Vec::LowBf16(Vec::LoadWords(words + v * Vec::kLanes)), p[v]);
    }
  }
  static void Expand(const Block& block, int num_k, float* tile) {
    const uint32_t* words = block.words;
    for (int k = 0; k < num_k; k += 2, words += kOutputs) {
      float* out = tile + k * kOutputs;
      for (int v = 0; v < kVecs; ++v) {
        const Vec::I w = Vec::LoadWords(words + v * Vec::kLanes);
        Vec::Store(out + v * Vec::kLanes, Vec::LowBf16(w));
        // Odd num_k: the high half is padding, and the tile has room for its row.
        Vec::Store(out + kOutputs + v * Vec::kLanes, Vec::HighBf16(w));
      }
    }
  }
};

// F16 and F32 store one k after another.
template <typename Element, typename Loader>
struct PlainFormat {
  struct Block : DenseBlock {
    Block(const LinearArgs& a, int64_t nb, int64_t k)
        : DenseBlock{a.words + nb * a.words_per_block +
                     k * kOutputs * static_cast<int64_t>(sizeof(Element)) / 4} {}
    const Element* elements() const { return reinterpret_cast<const Element*>(words); }
  };
  static void Chain(const Block& block, const float* x, int num_k, Vec::F* p) {
    const Element* w = block.elements();
    for (int k = 0; k < num_k; ++k, w += kOutputs) {
      const Vec::F xk = Vec::Set(x[k]);
#pragma GCC unroll 8
      for (int v = 0; v < kVecs; ++v) p[v] = Vec::Fma(xk, Loader::Load(w + v * Vec::kLanes), p[v]);
    }
  }
  static void Expand(const Block& block, int num_k, float* tile) {
    const Element* w = block.elements();
    for (int i = 0; i < num_k * kOutputs; i += Vec::kLanes)
      Vec::Store(tile + i, Loader::Load(w + i));
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

template <typename Format>
inline void Gemv(const LinearArgs& a, int64_t nb) {
  alignas(64) float levels[kMaxDepth * kOutputs];
  alignas(64) float sums[kOutputs];
  const SliceTree tree{levels, kOutputs};
  for (int s = 0; s < a.num_slices; ++s) {
    Vec::F acc[kVecs];
    for (int v = 0; v < kVecs; ++v) acc[v] = Vec::Zero();
    const int64_t end = (s + 1) * a.slice_inputs;
    for (int64_t k = s * a.slice_inputs; k < end; k += a.block_inputs) {
      const int num_k = static_cast<int>(end - k < a.block_inputs ? end - k : a.block_inputs);
      const typename Format::Block block(a, nb, k);
      Vec::F p[kVecs];
      for (int v = 0; v < kVecs; ++v) p[v] = Vec::Zero();
      Format::Chain(block, a.x + k, num_k, p);
      for (int v = 0; v < kVecs; ++v) acc[v] = Vec::Fma(p[v], block.Scale(v), acc[v]);
    }
    for (int v = 0; v < kVecs; ++v) Vec::Store(sums + v * Vec::kLanes, acc[v]);
    tree.Push(s, sums);
  }
  StoreOutputs(sums, a.outputs - nb * kOutputs, a.y + nb * kOutputs);
}

// kRows rows of x times two vectors of outputs of a tile; sums[row][32] = fma(p, scale, sums).
template <int kRows, typename Block>
inline void TileRows(const Block& block, const float* tile, int num_k, const float* x,
                     int64_t x_stride, float* sums) {
  constexpr int kPair = kVecs >= 2 ? 2 : 1;
  for (int v = 0; v < kVecs; v += kPair) {
    Vec::F p[kRows][kPair];
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      for (int i = 0; i < kPair; ++i) p[r][i] = Vec::Zero();
    }
    const float* w = tile + v * Vec::kLanes;
    for (int k = 0; k < num_k; ++k, w += kOutputs) {
      const Vec::F w0 = Vec::Load(w);
      const Vec::F w1 = Vec::Load(w + (kPair - 1) * Vec::kLanes);
#pragma GCC unroll 16
      for (int r = 0; r < kRows; ++r) {
        const Vec::F xk = Vec::Set(x[r * x_stride + k]);
        p[r][0] = Vec::Fma(xk, w0, p[r][0]);
        if constexpr (kPair == 2) p[r][1] = Vec::Fma(xk, w1, p[r][1]);
      }
    }
    for (int i = 0; i < kPair; ++i) {
      const Vec::F scale = block.Scale(v + i);
#pragma GCC unroll 16
      for (int r = 0; r < kRows; ++r) {
        float* sum = sums + r * kOutputs + (v + i) * Vec::kLanes;
        Vec::Store(sum, Vec::Fma(p[r][i], scale, Vec::Load(sum)));
      }
    }
  }
}

// The last kRows or fewer rows.
template <int kRows, typename Block>
inline void TileRowsTail(int rows, const Block& block, const float* tile, int num_k, const float* x,
                         int64_t x_stride, float* sums) {
  if constexpr (kRows > 0) {
    if (rows == kRows) {
      TileRows<kRows>(block, tile, num_k, x, x_stride, sums);
    } else {
      TileRowsTail<kRows - 1>(rows, block, tile, num_k, x, x_stride, sums);
    }
  }
}

template <typename Format>
inline void Gemm(const LinearArgs& a, int64_t nb) {
  alignas(64) float tile[128 * kOutputs];
  alignas(64) float levels[kMaxDepth * kMaxRows * kOutputs];
  alignas(64) float sums[kMaxRows * kOutputs];
  const SliceTree tree{levels, a.num_rows * kOutputs};
  for (int s = 0; s < a.num_slices; ++s) {
    for (int i = 0; i < a.num_rows * kOutputs; i += Vec::kLanes) Vec::Store(sums + i, Vec::Zero());
    const int64_t end = (s + 1) * a.slice_inputs;
    for (int64_t k = s * a.slice_inputs; k < end; k += a.block_inputs) {
      const int num_k = static_cast<int>(end - k < a.block_inputs ? end - k : a.block_inputs);
      const typename Format::Block block(a, nb, k);
      Format::Expand(block, num_k, tile);
      int row = 0;
      for (; row + Vec::kRowTile <= a.num_rows; row += Vec::kRowTile) {
        TileRows<Vec::kRowTile>(block, tile, num_k, a.x + row * a.x_stride + k, a.x_stride,
                                sums + row * kOutputs);
      }
      TileRowsTail<Vec::kRowTile - 1>(a.num_rows - row, block, tile, num_k,
                                      a.x + row * a.x_stride + k, a.x_stride,
                                      sums + row * kOutputs);
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
  for (int64_t nb = a.block_begin; nb < a.block_end; ++nb) {
    if (a.num_rows == 1) {
      Gemv<Format>(a, nb);
    } else {
      Gemm<Format>(a, nb);
    }
  }
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
