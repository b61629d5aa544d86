// SPDX-License-Identifier: Apache-2.0
// The emulator's twin of kernels/device/wgmma.cuh, whose comment has the layouts. A warp computes
// its 16 of the 64 rows when it issues the product; simt.h says what becomes of the sums until the
// wait.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>

#include "kernels/device/mma.cuh"
#include "kernels/device/shared_matrix.cuh"

namespace sluice::kernels::device {

inline constexpr int kWarpgroupThreads = 128;

enum class Major { kK, kMn };

inline void FenceAsyncProxy() {}

template <typename... Arrays>
void FenceProducts(Arrays&...) {}

inline void CommitProducts() { cuda_emulation::CommitProducts(); }

template <int kPending, typename... Arrays>
void WaitProducts(Arrays&...) {
  cuda_emulation::WaitProducts(kPending);
  // The whole warp waits: none of its lanes says that the operands are free while another's wait,
  // which looks at them, is still to come.
  __syncwarp();
}

namespace emulated {

// The descriptor, read as the PTX manual has it.
struct Descriptor {
  explicit Descriptor(SharedMatrix matrix)
      : start(static_cast<int>(matrix.bits & 0x3fffu) * 16),
        leading(static_cast<int>(matrix.bits >> 16 & 0x3fffu) * 16),
        stride(static_cast<int>(matrix.bits >> 32 & 0x3fffu) * 16) {}

  // 16 bytes at an address of shared memory before the swizzle, which is of the address's bits.
  static const uint8_t* Chunk(int address) {
    return cuda_emulation::DynamicShared() + (address ^ (address >> 7 & 7) << 4);
  }
  // Values of k 8 half .. 8 half + 7 of a row of a K-major matrix.
  const uint8_t* OfRow(int row, int half) const {
    return Chunk(start + row / 8 * stride + row % 8 * 128 + half * 16);
  }
  // Rows 8 group .. 8 group + 7 of one k of an MN-major matrix.
  const uint8_t* OfK(int k, int group) const {
    return Chunk(start + group / 8 * leading + k / 8 * stride + k % 8 * 128 + group % 8 * 16);
  }

  int start, leading, stride;
};

struct WarpProduct {
  float* sums;
  const uint32_t* a_registers;  // null: a
  SharedMatrix a, b;
  bool add;
  int warp;  // of the warpgroup
  cuda_emulation::Place place;
};

// A warp's part, by one of its lanes. The emulator's own work, as DoMma.
template <int kN, Major kB>
[[gnu::no_sanitize_address]] void DoProduct(Operands operands) {
  const auto lane_of = [&operands](int lane) -> const WarpProduct& {
    return *static_cast<const WarpProduct*>(operands[lane]);
  };
  const WarpProduct& any = lane_of(0);
  for (int lane = 1; lane < cuda_emulation::kWarpLanes; ++lane) {
    const WarpProduct& own = lane_of(lane);
    if (own.b.bits != any.b.bits || own.a.bits != any.a.bits || own.add != any.add) {
      cuda_emulation::Fail("lanes of a warp issue different products", own.place);
    }
  }
  const auto load = [&any](const uint8_t* chunk, float(&values)[8]) {
    cuda_emulation::KeepOperand(chunk, any.place);
    for (int i = 0; i < 8; ++i) {
      uint16_t bits;
      std::memcpy(&bits, chunk + 2 * i, sizeof(bits));
      values[i] = std::bit_cast<float>(uint32_t{bits} << 16);
    }
  };
  float a[16][16], b[16][kN], sums[16][kN];  // a: [row][k]
  float values[8];
  if (any.a_registers == nullptr) {
    const Descriptor from(any.a);
    for (int row = 0; row < 16; ++row) {
      for (int half = 0; half < 2; ++half) {
        load(from.OfRow(16 * any.warp + row, half), values);
        std::memcpy(&a[row][8 * half], values, sizeof(values));
      }
    }
  } else {
    for (int lane = 0; lane < cuda_emulation::kWarpLanes; ++lane) {
      for (int i = 0; i < 4; ++i) {
        const int row = lane / 4 + i % 2 * 8, k = lane % 4 * 2 + i / 2 * 8;
        a[row][k] = Low(lane_of(lane).a_registers[i]);
        a[row][k + 1] = High(lane_of(lane).a_registers[i]);
      }
    }
  }
  const Descriptor from(any.b);
  if constexpr (kB == Major::kK) {
    for (int row = 0; row < kN; ++row) {
      for (int half = 0; half < 2; ++half) {
        load(from.OfRow(row, half), values);
        for (int i = 0; i < 8; ++i) b[8 * half + i][row] = values[i];
      }
    }
  } else {
    for (int k = 0; k < 16; ++k) {
      for (int group = 0; group < kN / 8; ++group) {
        load(from.OfK(k, group), values);
        std::memcpy(&b[k][8 * group], values, sizeof(values));
      }
    }
  }
  const auto each_sum = [&](auto&& visit) {
    for (int lane = 0; lane < cuda_emulation::kWarpLanes; ++lane) {
      for (int i = 0; i < kN / 2; ++i) {
        visit(lane_of(lane).sums[i],
              sums[lane / 4 + i / 2 % 2 * 8][i / 4 * 8 + lane % 4 * 2 + i % 2]);
      }
    }
  };
  if (any.add) {
    each_sum([](float own, float& sum) { sum = own; });
  } else {
    std::memset(sums, 0, sizeof(sums));
  }
  for (int row = 0; row < 16; ++row) {
    for (int k = 0; k < 16; ++k) {
      for (int column = 0; column < kN; ++column) sums[row][column] += a[row][k] * b[k][column];
    }
  }
  each_sum([](float& own, float sum) { own = sum; });
}

template <int kN, Major kB>
void IssueProduct(float (&sums)[kN / 2], const uint32_t* a_registers, SharedMatrix a,
                  SharedMatrix b, bool add, cuda_emulation::Place place) {
  static_assert(kN % 8 == 0 && kN <= 256 && (kB == Major::kK || kN % 64 == 0));
  cuda_emulation::BeginProduct(sums, kN / 2);
  WarpProduct product = {sums, a_registers, a, b, add, static_cast<int>(threadIdx.x) / 32 % 4,
                         place};
  cuda_emulation::WholeWarpOperation(DoProduct<kN, kB>, &product, place);
}

}  // namespace emulated

template <int kN, Major kB = Major::kK>
void Product(float (&sums)[kN / 2], SharedMatrix a, SharedMatrix b, bool add,
             cuda_emulation::Place place = cuda_emulation::Place::current()) {
  emulated::IssueProduct<kN, kB>(sums, nullptr, a, b, add, place);
}

template <int kN, Major kB = Major::kK>
void Product(float (&sums)[kN / 2], const uint32_t (&a)[4], SharedMatrix b, bool add,
             cuda_emulation::Place place = cuda_emulation::Place::current()) {
  emulated::IssueProduct<kN, kB>(sums, a, {}, b, add, place);
}

}  // namespace sluice::kernels::device
