// SPDX-License-Identifier: Apache-2.0
#include "tests/kernels/device/wgmma_product.h"

#include "kernels/device/launch.cuh"
#include "kernels/device/wgmma.cuh"

namespace sluice::kernels::device {
namespace {

constexpr int kBlockValues = kSwizzleRowBytes / 2;
constexpr int kColumns = kBlockValues / 8;  // of 16 bytes
constexpr int kABlockBytes = kProductRows * kSwizzleRowBytes;
constexpr int kABytes = kProductDepth / kBlockValues * kABlockBytes;
constexpr int kSteps = kProductDepth / 16;

// Blocks of 64 columns of a row-major matrix.
__device__ void Store(const __nv_bfloat16* from, int rows, int columns, uint8_t* to) {
  const int vectors = rows * columns / 8;
  for (int i = static_cast<int>(threadIdx.x); i < vectors; i += kWarpgroupThreads) {
    const int row = i / (columns / 8), vector = i % (columns / 8);
    uint8_t* block = to + vector / kColumns * rows * kSwizzleRowBytes;
    *reinterpret_cast<uint4*>(block + SwizzledOffset(row, vector % kColumns)) =
        *reinterpret_cast<const uint4*>(from + row * columns + vector * 8);
  }
}

template <int kN, Major kB, bool kARegisters>
__global__ void __launch_bounds__(kWarpgroupThreads) ProductKernel(WgmmaProduct p) {
  uint8_t* const shared = DynamicShared();
  uint8_t* const b_blocks = shared + kABytes;
  Store(p.a, kProductRows, kProductDepth, shared);
  if constexpr (kB == Major::kK) {
    Store(p.b, kN, kProductDepth, b_blocks);
  } else {
    Store(p.b, kProductDepth, kN, b_blocks);
  }
  FenceAsyncProxy();
  __syncthreads();
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  const int row = 16 * warp + lane / 4;
  float sums[kN / 2];
#pragma unroll
  for (float& sum : sums) sum = 1e30f;  // that the first product does not add to
  uint32_t a[kSteps][4];
  if constexpr (kARegisters) {
#pragma unroll
    for (int step = 0; step < kSteps; ++step) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        a[step][i] = *reinterpret_cast<const uint32_t*>(p.a + (row + i % 2 * 8) * kProductDepth +
                                                        16 * step + lane % 4 * 2 + i / 2 * 8);
      }
    }
  }
  FenceProducts(sums);
#pragma unroll
  for (int step = 0; step < kSteps; ++step) {
    const int block = step / 4, within = step % 4;
    const SharedMatrix b =
        kB == Major::kK
            ? KMajorMatrix(b_blocks + block * kN * kSwizzleRowBytes).Advance(within * 32)
            : MnMajorMatrix(b_blocks, kProductDepth * kSwizzleRowBytes)
                  .Advance(step * 16 * kSwizzleRowBytes);
    if constexpr (kARegisters) {
      Product<kN, kB>(sums, a[step], b, step > 0);
    } else {
      Product<kN, kB>(sums, KMajorMatrix(shared + block * kABlockBytes).Advance(within * 32), b,
                      step > 0);
    }
    if (within == 3) CommitProducts();
  }
  WaitProducts<0>(sums);
#pragma unroll
  for (int i = 0; i < kN / 2; ++i) {
    p.out[(row + i / 2 % 2 * 8) * kN + i / 4 * 8 + lane % 4 * 2 + i % 2] = sums[i];
  }
}

template <int kN, Major kB, bool kARegisters>
LaunchResult RunProduct(const WgmmaProduct& product, cudaStream_t stream) {
  constexpr int kBytes = kABytes + kN * kProductDepth * 2;
  const auto kernel = ProductKernel<kN, kB, kARegisters>;
  const cudaError_t error = AllowSharedBytes(kernel, kBytes);
  if (error != cudaSuccess) return {.error = error, .problem = "cudaFuncSetAttribute"};
  return AfterLaunch(Launch(kernel, 1, kWarpgroupThreads, kBytes, stream, product),
                     "wgmma product");
}

template <int kN>
LaunchResult RunColumns(const WgmmaProduct& product, cudaStream_t stream) {
  if (product.mn_major) {
    if constexpr (kN % 64 == 0) {
      return product.a_in_registers ? RunProduct<kN, Major::kMn, true>(product, stream)
                                    : RunProduct<kN, Major::kMn, false>(product, stream);
    } else {
      return InvalidArguments("wgmma product: MN-major B has a multiple of 64 columns");
    }
  }
  return product.a_in_registers ? RunProduct<kN, Major::kK, true>(product, stream)
                                : RunProduct<kN, Major::kK, false>(product, stream);
}

}  // namespace

LaunchResult RunWgmmaProduct(const WgmmaProduct& product, cudaStream_t stream) {
  switch (product.columns) {
    case 8:
      return RunColumns<8>(product, stream);
    case 16:
      return RunColumns<16>(product, stream);
    case 24:
      return RunColumns<24>(product, stream);
    case 32:
      return RunColumns<32>(product, stream);
    case 48:
      return RunColumns<48>(product, stream);
    case 64:
      return RunColumns<64>(product, stream);
    case 96:
      return RunColumns<96>(product, stream);
    case 128:
      return RunColumns<128>(product, stream);
    case 192:
      return RunColumns<192>(product, stream);
    case 256:
      return RunColumns<256>(product, stream);
    default:
      return InvalidArguments("wgmma product: not a number of columns it has");
  }
}

}  // namespace sluice::kernels::device
