// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/linear_pack.h"

#include <algorithm>
#include <cstring>

namespace sluice::kernels::cpu {
namespace {

// Logical column of bit field i of an AutoAWQ word, within the word's eight.
constexpr int kAwqOrder[8] = {0, 2, 4, 6, 1, 3, 5, 7};

// Bit position of logical column c.
constexpr int AwqShift(int column) {
  for (int i = 0; i < 8; ++i) {
    if (kAwqOrder[i] == column) return 4 * i;
  }
  return 0;
}

uint32_t LoadWord(const void* data, int64_t index) {
  uint32_t word;
  std::memcpy(&word, static_cast<const std::byte*>(data) + index * 4, 4);
  return word;
}

uint16_t LoadHalf(const void* data, int64_t index) {
  uint16_t half;
  std::memcpy(&half, static_cast<const std::byte*>(data) + index * 2, 2);
  return half;
}

// Calls fn(first, last) over output ranges that never share a packed block between threads.
template <typename Fn>
void ForOutputRanges(int64_t output_begin, int64_t num_outputs, ThreadPool& pool, Fn fn) {
  const int64_t end = output_begin + num_outputs;
  const int64_t first_block = output_begin / kBlockOutputs;
  const int64_t last_block = (end + kBlockOutputs - 1) / kBlockOutputs;
  pool.ParallelFor(static_cast<int>(last_block - first_block), [&](int task) {
    const int64_t begin = (first_block + task) * kBlockOutputs;
    fn(std::max(begin, output_begin), std::min(begin + kBlockOutputs, end));
  });
}

// One output's row into its lane.
void PackDenseRow(const DenseSource& source, int64_t row, LinearWeight::Format format,
                  int64_t inputs, uint32_t* block, int64_t lane) {
  const int64_t first = (source.out_begin + row) * source.row_stride + source.in_begin;
  switch (format) {
    case LinearWeight::Format::kBf16:
      for (int64_t k = 0; k < inputs; ++k) {
        const uint32_t half = LoadHalf(source.data, first + k);
        block[k / 2 * kBlockOutputs + lane] |= half << (k % 2 * 16);
      }
      return;
    case LinearWeight::Format::kF16: {
      auto* halves = reinterpret_cast<uint16_t*>(block);
      for (int64_t k = 0; k < inputs; ++k) {
        halves[k * kBlockOutputs + lane] = LoadHalf(source.data, first + k);
      }
      return;
    }
    default: {
      auto* floats = reinterpret_cast<float*>(block);
      for (int64_t k = 0; k < inputs; ++k) {
        floats[k * kBlockOutputs + lane] = LoadFloat(source.data, source.type, first + k);
      }
    }
  }
}

// Eight outputs, eight k: transposes the words' nibbles into the lanes of one packed word row.
void PackAwqWords(const AwqSource& source, int64_t column_word, int64_t k, uint32_t* out) {
  const int64_t stride = source.full_outputs / 8;
  for (int j = 0; j < 8; ++j) {
    const uint32_t word =
        LoadWord(source.qweight, (source.in_begin + k + j) * stride + column_word);
    for (int c = 0; c < 8; ++c) out[c] |= ((word >> AwqShift(c)) & 0xFu) << (4 * j);
  }
}

}  // namespace

void PackDense(const DenseSource& source, int64_t output_begin, int64_t num_outputs,
               ThreadPool& pool, LinearWeight* weight) {
  const int64_t words_per_block = weight->words_per_block();
  uint32_t* words = weight->mutable_words();
  ForOutputRanges(output_begin, num_outputs, pool, [&](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) {
      PackDenseRow(source, n - output_begin, weight->spec().format, weight->spec().inputs,
                   words + n / kBlockOutputs * words_per_block, n % kBlockOutputs);
    }
  });
}

void PackAwq(const AwqSource& source, int64_t output_begin, int64_t num_outputs, ThreadPool& pool,
             LinearWeight* weight) {
  const LinearWeight::Spec& spec = weight->spec();
  const int64_t words_per_block = weight->words_per_block();
  const int64_t groups = weight->groups();
  const int64_t first_group = source.in_begin / spec.group_size;
  ForOutputRanges(output_begin, num_outputs, pool, [&](int64_t begin, int64_t end) {
    // Output ranges start and end on multiples of 8 of the source, so whole words are taken.
    for (int64_t n = begin; n < end; n += 8) {
      const int64_t column = source.out_begin + n - output_begin;
      const int64_t block = n / kBlockOutputs;
      const int64_t lane = n % kBlockOutputs;
      uint32_t* words = weight->mutable_words() + block * words_per_block + lane;
      for (int64_t k = 0; k < spec.inputs; k += 8) {
        PackAwqWords(source, column / 8, k, words + k / 8 * kBlockOutputs);
      }
      for (int64_t g = 0; g < groups; ++g) {
        const int64_t at = (block * groups + g) * kBlockOutputs + lane;
        const int64_t row = first_group + g;
        const uint32_t zeros = LoadWord(source.qzeros, (row * source.full_outputs + column) / 8);
        for (int c = 0; c < 8; ++c) {
          weight->mutable_zeros()[at + c] = static_cast<uint8_t>((zeros >> AwqShift(c)) & 0xFu);
          weight->mutable_scales()[at + c] =
              LoadFloat(source.scales, source.scales_type, row * source.full_outputs + column + c);
        }
      }
    }
  });
}

}  // namespace sluice::kernels::cpu
