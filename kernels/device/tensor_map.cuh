// SPDX-License-Identifier: Apache-2.0
// Bulk copies of boxes of a row-major bf16 matrix in global memory to swizzled blocks in shared
// memory (shared_matrix.cuh): PTX ISA, "cp.async.bulk.tensor". One thread asks for a whole box, and
// its bytes count at a TransferBarrier.
#pragma once

#include <cuda.h>
#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/device/shared_matrix.cuh"
#include "kernels/device/transfer_barrier.cuh"

namespace sluice::kernels::device {

inline constexpr int kBoxColumns = kSwizzleRowBytes / 2;

// What the copy engine knows of a matrix. A kernel has it in a __grid_constant__ parameter.
struct TensorMap {
  CUtensorMap map;
};

// Of [rows][columns] at `matrix` (aligned to 16 bytes, columns a multiple of 8) in boxes of
// box_rows (at most 256) times kBoxColumns. rows may be more than there are where no box is asked
// for beyond those. cudaErrorNotSupported where the driver has no such function,
// cudaErrorInvalidValue where it refuses.
inline cudaError_t MakeTensorMap(const __nv_bfloat16* matrix, int64_t rows, int columns,
                                 int box_rows, TensorMap* map) {
  // The driver's, found at run time: nothing else of ours links with libcuda.
  using Encode =
      CUresult (*)(CUtensorMap*, CUtensorMapDataType, cuuint32_t, void*, const cuuint64_t*,
                   const cuuint64_t*, const cuuint32_t*, const cuuint32_t*, CUtensorMapInterleave,
                   CUtensorMapSwizzle, CUtensorMapL2promotion, CUtensorMapFloatOOBfill);
  void* encode = nullptr;
  cudaDriverEntryPointQueryResult found;
  const cudaError_t error = cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &encode,
                                                             12000, cudaEnableDefault, &found);
  if (error != cudaSuccess) return error;
  if (found != cudaDriverEntryPointSuccess) return cudaErrorNotSupported;
  const cuuint64_t sizes[2] = {static_cast<cuuint64_t>(columns), static_cast<cuuint64_t>(rows)};
  const cuuint64_t row_bytes = static_cast<cuuint64_t>(columns) * sizeof(__nv_bfloat16);
  const cuuint32_t box[2] = {kBoxColumns, static_cast<cuuint32_t>(box_rows)};
  const cuuint32_t steps[2] = {1, 1};
  const CUresult result = reinterpret_cast<Encode>(encode)(
      &map->map, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 2, const_cast<__nv_bfloat16*>(matrix), sizes,
      &row_bytes, box, steps, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
      CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  return result == CUDA_SUCCESS ? cudaSuccess : cudaErrorInvalidValue;
}

// Starts the copy of the box whose first value is [row][column]; rows beyond the last are zero, and
// count as bytes. shared: aligned to 1,024 bytes.
__device__ inline void CopyBox(const TensorMap& map, int row, int column, void* shared,
                               TransferBarrier& barrier) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], "
      "[%1, {%3, %4}], [%2];" ::"r"(SharedAddress(shared)),
      "l"(&map.map), "r"(SharedAddress(&barrier)), "r"(column), "r"(row)
      : "memory");
}

}  // namespace sluice::kernels::device
