// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/linear.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "kernels/cpu/simd/kernel_table.h"

namespace sluice::kernels::cpu {
namespace {

static_assert(kBlockOutputs == simd::kOutputs);

constexpr std::align_val_t kAlignment{64};
// Weights are streamed: fewer TLB misses where the system grants huge pages on request.
constexpr int64_t kHugePageBytes = int64_t{2} << 20;

simd::WeightFormat ToSimd(LinearWeight::Format format) {
  switch (format) {
    case LinearWeight::Format::kAwq4:
      return simd::WeightFormat::kAwq4;
    case LinearWeight::Format::kBf16:
      return simd::WeightFormat::kBf16;
    case LinearWeight::Format::kF16:
      return simd::WeightFormat::kF16;
    case LinearWeight::Format::kF32:
      break;
  }
  return simd::WeightFormat::kF32;
}

int64_t WordsPerBlock(const LinearWeight::Spec& spec) {
  switch (spec.format) {
    case LinearWeight::Format::kAwq4:
      return spec.inputs / 8 * kBlockOutputs;
    case LinearWeight::Format::kBf16:
      return (spec.inputs + 1) / 2 * kBlockOutputs;
    case LinearWeight::Format::kF16:
      return spec.inputs * kBlockOutputs / 2;
    case LinearWeight::Format::kF32:
      break;
  }
  return spec.inputs * kBlockOutputs;
}

}  // namespace

int NumSlices(int64_t full_k) {
  if (full_k <= 0 || full_k % kSliceUnit != 0) return 1;
  for (int slices : {8, 4, 2}) {
    if (full_k / kSliceUnit % slices == 0) return slices;
  }
  return 1;
}

void LinearWeight::Free::operator()(std::byte* data) const { ::operator delete(data, kAlignment); }

LinearWeight::Storage LinearWeight::Allocate(int64_t bytes) {
  if (bytes == 0) return nullptr;
  auto* data = static_cast<std::byte*>(::operator new(static_cast<size_t>(bytes), kAlignment));
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  if (bytes >= 2 * kHugePageBytes) {
    const auto address = reinterpret_cast<uintptr_t>(data);
    const uintptr_t begin = (address + kHugePageBytes - 1) / kHugePageBytes * kHugePageBytes;
    madvise(reinterpret_cast<void*>(begin), address + bytes - begin, MADV_HUGEPAGE);  // advice only
  }
#endif
  std::memset(data, 0, static_cast<size_t>(bytes));
  return Storage(data);
}

LinearWeight::LinearWeight(const Spec& spec) : spec_(spec) {
  // Slices of the whole K that this shard holds.
  const int64_t slice = spec.full_inputs / NumSlices(spec.full_inputs);
  num_slices_ = static_cast<int>(std::max<int64_t>(1, spec.inputs / std::max<int64_t>(1, slice)));
  words_bytes_ = num_blocks() * WordsPerBlock(spec) * 4;
  if (spec.format == Format::kAwq4) {
    const int64_t entries = num_blocks() * groups() * kBlockOutputs;
    scales_bytes_ = entries * 4;
    zeros_bytes_ = entries;
  }
  words_ = Allocate(words_bytes_);
  scales_ = Allocate(scales_bytes_);
  zeros_ = Allocate(zeros_bytes_);
}

void Linear(const LinearWeight& weight, const float* x, int64_t x_stride, int64_t num_rows,
            float* y, int64_t y_stride, ThreadPool& pool) {
  if (num_rows <= 0) return;
  const LinearWeight::Spec& spec = weight.spec();
  simd::LinearArgs args{};
  args.format = ToSimd(spec.format);
  args.words = weight.words();
  args.scales = weight.scales();
  args.zeros = weight.zeros();
  args.words_per_block = weight.words_per_block();
  args.groups = spec.format == LinearWeight::Format::kAwq4 ? weight.groups() : 0;
  args.outputs = spec.outputs;
  args.num_slices = weight.num_slices();
  args.slice_inputs = weight.slice_inputs();
  args.block_inputs = weight.block_inputs();
  args.x_stride = x_stride;
  args.y_stride = y_stride;

  // A task is some blocks of outputs times some rows; four tasks a thread even out unequal cores.
  const int64_t row_tasks = (num_rows + simd::kMaxRows - 1) / simd::kMaxRows;
  const int64_t rows_per_task = (num_rows + row_tasks - 1) / row_tasks;
  const int64_t blocks = weight.num_blocks();
  const int64_t wanted = std::max<int64_t>(1, int64_t{pool.num_threads()} * 4 / row_tasks);
  const int64_t blocks_per_task = pool.num_threads() == 1 ? blocks : (blocks + wanted - 1) / wanted;
  const int64_t block_tasks = (blocks + blocks_per_task - 1) / blocks_per_task;

  const simd::KernelTable& kernels = simd::Active();
  pool.ParallelFor(static_cast<int>(block_tasks * row_tasks), [&](int task) {
    simd::LinearArgs mine = args;
    const int64_t row = task / block_tasks * rows_per_task;
    mine.num_rows = static_cast<int>(std::min(rows_per_task, num_rows - row));
    mine.x = x + row * x_stride;
    mine.y = y + row * y_stride;
    mine.block_begin = task % block_tasks * blocks_per_task;
    mine.block_end = std::min(mine.block_begin + blocks_per_task, blocks);
    kernels.linear(mine);
  });
}

}  // namespace sluice::kernels::cpu
