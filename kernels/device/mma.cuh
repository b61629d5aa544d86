// SPDX-License-Identifier: Apache-2.0
// The bf16 tensor core instruction m16n8k16 and the loads that feed it (PTX ISA, "Matrix fragments
// for mma.m16n8k16"). With g = lane / 4 and t = lane % 4 a lane holds, two values a register:
//
//   A  a[0] row g, k 2t..2t+1          a[1] row g + 8, k 2t..2t+1
//      a[2] row g, k 2t+8..2t+9        a[3] row g + 8, k 2t+8..2t+9
//
//   B  b[0] k 2t..2t+1, col g          b[1] k 2t+8..2t+9, col g
//
//   C  c[0], c[1] row g, cols 2t, 2t+1
//      c[2], c[3] row g + 8, cols 2t, 2t+1
#pragma once

#include <cuda_bf16.h>

#include <cstdint>

#include "kernels/device/async_copy.cuh"

namespace sluice::kernels::device {

// c += a b
__device__ inline void Mma16x8x16(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// Four 8 x 8 matrices of 16-bit values from shared memory; lanes 8i .. 8i + 7 name the rows of
// matrix i (16 bytes each). A lane gets of each matrix row g, elements 2t and 2t + 1.
__device__ inline void LoadMatrix4(uint32_t (&out)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
               : "r"(SharedAddress(row))
               : "memory");
}

// The same with each matrix transposed: a lane gets column g, rows 2t and 2t + 1.
__device__ inline void LoadMatrix4Transposed(uint32_t (&out)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
               : "r"(SharedAddress(row))
               : "memory");
}

// Transposes an 8 x 8 matrix of 16-bit values that the warp holds, row g elements 2t, 2t + 1 a
// lane.
__device__ inline uint32_t TransposeMatrix(uint32_t in) {
  uint32_t out;
  asm volatile("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(out) : "r"(in));
  return out;
}

}  // namespace sluice::kernels::device
