// SPDX-License-Identifier: Apache-2.0
// The emulator's twin of kernels/device/mma.cuh, whose comment has the layouts of the fragments.
// Products are exact and summed in fp32, in the order of k.
#pragma once

#include <cuda_bf16.h>

#include <cstdint>
#include <cstring>

#include "kernels/device/async_copy.cuh"

namespace sluice::kernels::device {
namespace emulated {

using Operands = void* const (&)[cuda_emulation::kWarpLanes];

[[gnu::no_sanitize_address]] inline float Low(uint32_t pair) {
  return std::bit_cast<float>(pair << 16);
}
[[gnu::no_sanitize_address]] inline float High(uint32_t pair) {
  return std::bit_cast<float>(pair & 0xffff0000u);
}

struct Mma {
  float (&c)[4];
  const uint32_t (&a)[4];
  const uint32_t (&b)[2];
};

// The emulator's own work: not what checks of kernels' accesses are for.
[[gnu::no_sanitize_address]] inline void DoMma(Operands operands) {
  float a[16][16], b[16][8], c[16][8];  // a: [k][row]
  for (int lane = 0; lane < cuda_emulation::kWarpLanes; ++lane) {
    const Mma& own = *static_cast<const Mma*>(operands[lane]);
    const int g = lane / 4, t = lane % 4;
    for (int i = 0; i < 4; ++i) {
      const int row = g + i % 2 * 8, k = 2 * t + i / 2 * 8;
      a[k][row] = Low(own.a[i]);
      a[k + 1][row] = High(own.a[i]);
      c[g + i / 2 * 8][2 * t + i % 2] = own.c[i];
    }
    for (int i = 0; i < 2; ++i) {
      b[2 * t + i * 8][g] = Low(own.b[i]);
      b[2 * t + i * 8 + 1][g] = High(own.b[i]);
    }
  }
  for (int k = 0; k < 16; ++k) {
    for (int row = 0; row < 16; ++row) {
      for (int column = 0; column < 8; ++column) c[row][column] += a[k][row] * b[k][column];
    }
  }
  for (int lane = 0; lane < cuda_emulation::kWarpLanes; ++lane) {
    const Mma& own = *static_cast<const Mma*>(operands[lane]);
    for (int i = 0; i < 4; ++i) own.c[i] = c[lane / 4 + i / 2 * 8][2 * (lane % 4) + i % 2];
  }
}

// Lane 8i + j names row j of matrix i. It is read when that lane arrives: what another lane writes
// after that, with no barrier between them, is missed.
struct MatrixLoad {
  MatrixLoad(uint32_t (&to)[4], const void* from) : out(to) { std::memcpy(row, from, sizeof(row)); }

  uint32_t (&out)[4];
  uint16_t row[8];
};

template <bool kTransposed>
[[gnu::no_sanitize_address]] void DoLoadMatrix4(Operands operands) {
  for (int lane = 0; lane < cuda_emulation::kWarpLanes; ++lane) {
    const int g = lane / 4, t = lane % 4;
    for (int i = 0; i < 4; ++i) {
      const auto element = [&](int row, int column) {
        return uint32_t{static_cast<const MatrixLoad*>(operands[8 * i + row])->row[column]};
      };
      static_cast<MatrixLoad*>(operands[lane])->out[i] =
          kTransposed ? element(2 * t, g) | element(2 * t + 1, g) << 16
                      : element(g, 2 * t) | element(g, 2 * t + 1) << 16;
    }
  }
}

[[gnu::no_sanitize_address]] inline void DoTransposeMatrix(Operands operands) {
  uint32_t in[cuda_emulation::kWarpLanes];
  for (int lane = 0; lane < cuda_emulation::kWarpLanes; ++lane) {
    in[lane] = *static_cast<const uint32_t*>(operands[lane]);
  }
  const auto element = [&in](int row, int column) {
    return in[4 * row + column / 2] >> 16 * (column % 2) & 0xffffu;
  };
  for (int lane = 0; lane < cuda_emulation::kWarpLanes; ++lane) {
    const int g = lane / 4, t = lane % 4;
    *static_cast<uint32_t*>(operands[lane]) = element(2 * t, g) | element(2 * t + 1, g) << 16;
  }
}

}  // namespace emulated

inline void Mma16x8x16(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                       cuda_emulation::Place place = cuda_emulation::Place::current()) {
  emulated::Mma operand = {c, a, b};
  cuda_emulation::WholeWarpOperation(emulated::DoMma, &operand, place);
}

inline void LoadMatrix4(uint32_t (&out)[4], const void* row,
                        cuda_emulation::Place place = cuda_emulation::Place::current()) {
  cuda_emulation::CheckShared(row, 16, place);
  emulated::MatrixLoad operand(out, row);
  cuda_emulation::WholeWarpOperation(emulated::DoLoadMatrix4<false>, &operand, place);
}

inline void LoadMatrix4Transposed(uint32_t (&out)[4], const void* row,
                                  cuda_emulation::Place place = cuda_emulation::Place::current()) {
  cuda_emulation::CheckShared(row, 16, place);
  emulated::MatrixLoad operand(out, row);
  cuda_emulation::WholeWarpOperation(emulated::DoLoadMatrix4<true>, &operand, place);
}

inline uint32_t TransposeMatrix(uint32_t in,
                                cuda_emulation::Place place = cuda_emulation::Place::current()) {
  cuda_emulation::WholeWarpOperation(emulated::DoTransposeMatrix, &in, place);
  return in;
}

}  // namespace sluice::kernels::device
