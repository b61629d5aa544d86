// SPDX-License-Identifier: Apache-2.0
// Matrices of 16-bit values in shared memory as wgmma reads them: in blocks of rows of 128 bytes,
// where the 16-byte column c of row r lies at column c ^ (r % 8) (the 128-byte swizzle), so that
// eight rows of one column, or one row, fall into different banks. A block begins at a multiple of
// 1,024 bytes of shared memory: eight rows, the swizzle's period.
//
// A SharedMatrix is what the instruction takes for one, its "matrix descriptor" (PTX ISA,
// "Asynchronous Warpgroup Level Matrix Shared Memory Layout"). Which way it is read:
//
//   K-major    rows are the matrix's rows (M of A, N of B), 64 values of k in each. Step j of 16 k
//              within the block is 32 j bytes further: Advance(32 * j).
//   MN-major   rows are values of k, 64 neighbouring rows of the matrix in each; more than 64 rows
//              are further blocks. A step of 16 k is 16 rows of 128 bytes: Advance(2048).
#pragma once

#include <cstdint>

#include "kernels/device/async_copy.cuh"

namespace sluice::kernels::device {

inline constexpr int kSwizzleRowBytes = 128;
inline constexpr int kSwizzlePeriodBytes = 8 * kSwizzleRowBytes;

// Of the 16-byte column (0 .. 7) of a row, from the block's beginning, in bytes.
__device__ inline int SwizzledOffset(int row, int column) {
  return row * kSwizzleRowBytes + (column ^ row % 8) * 16;
}

struct SharedMatrix {
  uint64_t bits = 0;

  // bytes: a multiple of 16; the sum stays below 256 KB.
  __device__ SharedMatrix Advance(int bytes) const {
    return {bits + static_cast<uint64_t>(bytes / 16)};
  }
};

// group_stride: bytes from eight rows to the next eight; a multiple of 1,024.
__device__ inline SharedMatrix KMajorMatrix(const void* block,
                                            int group_stride = kSwizzlePeriodBytes) {
  return {uint64_t{1} << 62 | static_cast<uint64_t>(group_stride / 16) << 32 | uint64_t{1} << 16 |
          (SharedAddress(block) & 0x3ffffu) / 16};
}

// block_stride: bytes from a block of 64 rows of the matrix to the next 64; a multiple of 1,024.
__device__ inline SharedMatrix MnMajorMatrix(const void* block, int block_stride) {
  return {uint64_t{1} << 62 | uint64_t{kSwizzlePeriodBytes / 16} << 32 |
          static_cast<uint64_t>(block_stride / 16) << 16 | (SharedAddress(block) & 0x3ffffu) / 16};
}

}  // namespace sluice::kernels::device
