// SPDX-License-Identifier: Apache-2.0
// The emulator's twin of kernels/device/tensor_map.cuh.
#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>

#include "kernels/device/shared_matrix.cuh"
#include "kernels/device/transfer_barrier.cuh"

namespace sluice::kernels::device {

inline constexpr int kBoxColumns = kSwizzleRowBytes / 2;

struct TensorMap {
  const __nv_bfloat16* matrix = nullptr;
  int64_t rows = 0;
  int columns = 0, box_rows = 0;
};

inline cudaError_t MakeTensorMap(const __nv_bfloat16* matrix, int64_t rows, int columns,
                                 int box_rows, TensorMap* map) {
  if (reinterpret_cast<uintptr_t>(matrix) % 16 != 0 || columns % 8 != 0 || box_rows > 256 ||
      rows < 1 || rows > int64_t{1} << 32) {
    return cudaErrorInvalidValue;
  }
  *map = {matrix, rows, columns, box_rows};
  return cudaSuccess;
}

inline void CopyBox(const TensorMap& map, int row, int column, void* shared,
                    TransferBarrier& barrier,
                    cuda_emulation::Place place = cuda_emulation::Place::current()) {
  if (row < 0 || row >= map.rows || column < 0 || column + kBoxColumns > map.columns) {
    cuda_emulation::Fail("a box that is not within its matrix", place);
  }
  const __nv_bfloat16* from = map.matrix + int64_t{row} * map.columns + column;
  const size_t row_bytes = static_cast<size_t>(map.columns) * sizeof(*from);
  // What it reads must be the device's.
  const auto rows_there = static_cast<int>(std::min<int64_t>(map.box_rows, map.rows - row));
  for (int i = 0; i < rows_there; ++i) {
    cuda_emulation::CheckAccess(from + int64_t{i} * map.columns, kSwizzleRowBytes);
  }
  cuda_emulation::StartBulkCopy({reinterpret_cast<const uint8_t*>(from), row_bytes, map.box_rows,
                                 static_cast<uint8_t*>(shared), &barrier.state, rows_there},
                                place);
}

}  // namespace sluice::kernels::device
