// SPDX-License-Identifier: Apache-2.0
// The tensor core instruction of a warpgroup, wgmma m64nNk16 (PTX ISA, "Asynchronous Warpgroup
// Level Matrix Multiply-Accumulate"): 64 x N sums += 64 x 16 of A times 16 x N of B, bf16 to fp32.
// It is asynchronous, and 128 threads issue it together: four warps, the first one's number a
// multiple of 4. With w = warp % 4, g = lane / 4 and t = lane % 4 a thread holds
//
//   sums  sums[4 j + i], row 16 w + g + i / 2 * 8, column 8 j + 2 t + i % 2
//   A     (when in registers) a[0] row 16 w + g, k 2t..2t+1       a[1] row 16 w + g + 8, the same k
//                             a[2] row 16 w + g, k 2t+8..2t+9     a[3] row 16 w + g + 8
//
// so that sums rounded to bf16 in pairs are A of a next product, as with m16n8k16 (mma.cuh).
//
// In this order, registers of sums and A untouched in between:
//
//   FenceProducts(sums, ...)            after any other access to the registers named
//   Product<N, ...>(sums, a, b, true)   as many as wanted
//   CommitProducts()                    makes a group of them
//   WaitProducts<0>(sums, ...)          until no group is under way: sums may be read
//
// What threads wrote to shared memory (st.shared, cp.async) is seen by products only after each
// writer's FenceAsyncProxy() and a barrier. Matrices in shared memory: shared_matrix.cuh.
#pragma once

#include <cstdint>

#include "kernels/device/shared_matrix.cuh"

namespace sluice::kernels::device {

inline constexpr int kWarpgroupThreads = 128;

enum class Major { kK, kMn };

// Orders this thread's earlier writes to shared memory before what products and bulk copies do
// after the next barrier.
__device__ inline void FenceAsyncProxy() {
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

// Tells the compiler that registers change here, so that it moves no use of them across.
template <int kSize>
__device__ inline void TouchRegisters(float (&values)[kSize]) {
#pragma unroll
  for (int i = 0; i < kSize; ++i) asm volatile("" : "+f"(values[i])::"memory");
}
template <int kSize>
__device__ inline void TouchRegisters(uint32_t (&values)[kSize]) {
#pragma unroll
  for (int i = 0; i < kSize; ++i) asm volatile("" : "+r"(values[i])::"memory");
}
template <typename T, int kRows, int kSize>
__device__ inline void TouchRegisters(T (&values)[kRows][kSize]) {
#pragma unroll
  for (int i = 0; i < kRows; ++i) TouchRegisters(values[i]);
}

// Arrays: the sums, and A in registers, of the products that follow.
template <typename... Arrays>
__device__ inline void FenceProducts(Arrays&... arrays) {
  (TouchRegisters(arrays), ...);
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}

__device__ inline void CommitProducts() {
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}

// Until at most kPending groups are under way. Arrays: those that are free now.
template <int kPending, typename... Arrays>
__device__ inline void WaitProducts(Arrays&... arrays) {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kPending) : "memory");
  (TouchRegisters(arrays), ...);
}

// The instruction for N: With (A in shared memory), WithRegisters (A in registers).
template <int kN>
struct ProductInstruction;

#define SLUICE_SUMS4(i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3])
#define SLUICE_SUMS8(i) SLUICE_SUMS4(i), SLUICE_SUMS4(i + 4)
#define SLUICE_SUMS12(i) SLUICE_SUMS8(i), SLUICE_SUMS4(i + 8)
#define SLUICE_SUMS16(i) SLUICE_SUMS8(i), SLUICE_SUMS8(i + 8)
#define SLUICE_SUMS24(i) SLUICE_SUMS16(i), SLUICE_SUMS8(i + 16)
#define SLUICE_SUMS32(i) SLUICE_SUMS16(i), SLUICE_SUMS16(i + 16)
#define SLUICE_SUMS48(i) SLUICE_SUMS32(i), SLUICE_SUMS16(i + 32)
#define SLUICE_SUMS64(i) SLUICE_SUMS32(i), SLUICE_SUMS32(i + 32)
#define SLUICE_SUMS96(i) SLUICE_SUMS64(i), SLUICE_SUMS32(i + 64)
#define SLUICE_SUMS128(i) SLUICE_SUMS64(i), SLUICE_SUMS64(i + 64)

// Names of the operands ten i .. ten i + 9, and the first of them.
#define SLUICE_NAMES2(ten) "%" #ten "0, %" #ten "1"
#define SLUICE_NAMES4(ten) SLUICE_NAMES2(ten) ", %" #ten "2, %" #ten "3"
#define SLUICE_NAMES6(ten) SLUICE_NAMES4(ten) ", %" #ten "4, %" #ten "5"
#define SLUICE_NAMES8(ten) SLUICE_NAMES6(ten) ", %" #ten "6, %" #ten "7"
#define SLUICE_NAMES10(ten) SLUICE_NAMES8(ten) ", %" #ten "8, %" #ten "9"
#define SLUICE_NAMES20 SLUICE_NAMES10() ", " SLUICE_NAMES10(1)
#define SLUICE_NAMES30 SLUICE_NAMES20 ", " SLUICE_NAMES10(2)
#define SLUICE_NAMES40 SLUICE_NAMES30 ", " SLUICE_NAMES10(3)
#define SLUICE_NAMES60 SLUICE_NAMES40 ", " SLUICE_NAMES10(4) ", " SLUICE_NAMES10(5)
#define SLUICE_NAMES90 \
  SLUICE_NAMES60 ", " SLUICE_NAMES10(6) ", " SLUICE_NAMES10(7) ", " SLUICE_NAMES10(8)
#define SLUICE_NAMES120 \
  SLUICE_NAMES90 ", " SLUICE_NAMES10(9) ", " SLUICE_NAMES10(10) ", " SLUICE_NAMES10(11)

// next, next1 .. next6: the names of the operands behind the n / 2 sums.
#define SLUICE_PRODUCT(n, sums, names, next, next1, next2, next3, next4, next5, next6)          \
  template <>                                                                                   \
  struct ProductInstruction<n> {                                                                \
    template <int kTransposeB>                                                                  \
    __device__ static void With(float (&d)[n / 2], uint64_t a, uint64_t b, bool add) {          \
      asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, " next2                                    \
                   ", 0;\nwgmma.mma_async.sync.aligned.m64n" #n "k16.f32.bf16.bf16 {" names     \
                   "}, " next ", " next1 ", p, 1, 1, 0, " next3 ";\n}"                          \
                   : sums(0)                                                                    \
                   : "l"(a), "l"(b), "r"(static_cast<int>(add)), "n"(kTransposeB));             \
    }                                                                                           \
    template <int kTransposeB>                                                                  \
    __device__ static void WithRegisters(float (&d)[n / 2], const uint32_t (&a)[4], uint64_t b, \
                                         bool add) {                                            \
      asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, " next5                                    \
                   ", 0;\nwgmma.mma_async.sync.aligned.m64n" #n "k16.f32.bf16.bf16 {" names     \
                   "}, {" next ", " next1 ", " next2 ", " next3 "}, " next4 ", p, 1, 1, " next6 \
                   ";\n}"                                                                       \
                   : sums(0)                                                                    \
                   : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b),                        \
                     "r"(static_cast<int>(add)), "n"(kTransposeB));                             \
    }                                                                                           \
  };
SLUICE_PRODUCT(8, SLUICE_SUMS4, SLUICE_NAMES4(), "%4", "%5", "%6", "%7", "%8", "%9", "%10")
SLUICE_PRODUCT(16, SLUICE_SUMS8, SLUICE_NAMES8(), "%8", "%9", "%10", "%11", "%12", "%13", "%14")
SLUICE_PRODUCT(24, SLUICE_SUMS12, SLUICE_NAMES10() ", " SLUICE_NAMES2(1), "%12", "%13", "%14",
               "%15", "%16", "%17", "%18")
SLUICE_PRODUCT(32, SLUICE_SUMS16, SLUICE_NAMES10() ", " SLUICE_NAMES6(1), "%16", "%17", "%18",
               "%19", "%20", "%21", "%22")
SLUICE_PRODUCT(48, SLUICE_SUMS24, SLUICE_NAMES20 ", " SLUICE_NAMES4(2), "%24", "%25", "%26", "%27",
               "%28", "%29", "%30")
SLUICE_PRODUCT(64, SLUICE_SUMS32, SLUICE_NAMES30 ", " SLUICE_NAMES2(3), "%32", "%33", "%34", "%35",
               "%36", "%37", "%38")
SLUICE_PRODUCT(96, SLUICE_SUMS48, SLUICE_NAMES40 ", " SLUICE_NAMES8(4), "%48", "%49", "%50", "%51",
               "%52", "%53", "%54")
SLUICE_PRODUCT(128, SLUICE_SUMS64, SLUICE_NAMES60 ", " SLUICE_NAMES4(6), "%64", "%65", "%66", "%67",
               "%68", "%69", "%70")
SLUICE_PRODUCT(192, SLUICE_SUMS96, SLUICE_NAMES90 ", " SLUICE_NAMES6(9), "%96", "%97", "%98", "%99",
               "%100", "%101", "%102")
SLUICE_PRODUCT(256, SLUICE_SUMS128, SLUICE_NAMES120 ", " SLUICE_NAMES8(12), "%128", "%129", "%130",
               "%131", "%132", "%133", "%134")
#undef SLUICE_PRODUCT
#undef SLUICE_SUMS4
#undef SLUICE_SUMS8
#undef SLUICE_SUMS12
#undef SLUICE_SUMS16
#undef SLUICE_SUMS24
#undef SLUICE_SUMS32
#undef SLUICE_SUMS48
#undef SLUICE_SUMS64
#undef SLUICE_SUMS96
#undef SLUICE_SUMS128
#undef SLUICE_NAMES2
#undef SLUICE_NAMES4
#undef SLUICE_NAMES6
#undef SLUICE_NAMES8
#undef SLUICE_NAMES10
#undef SLUICE_NAMES20
#undef SLUICE_NAMES30
#undef SLUICE_NAMES40
#undef SLUICE_NAMES60
#undef SLUICE_NAMES90
#undef SLUICE_NAMES120

// sums = a b, or += if `add`. a: 64 rows, K-major in shared memory; b: kN rows, kB-major. kN: 8,
// 16, 24, 32, 48, 64, 96, 128, 192 or 256; MN-major B has a multiple of 64 of them.
template <int kN, Major kB = Major::kK>
__device__ inline void Product(float (&sums)[kN / 2], SharedMatrix a, SharedMatrix b, bool add) {
  static_assert(kB == Major::kK || kN % 64 == 0);
  ProductInstruction<kN>::template With<kB == Major::kMn ? 1 : 0>(sums, a.bits, b.bits, add);
}

// The same with A in registers.
template <int kN, Major kB = Major::kK>
__device__ inline void Product(float (&sums)[kN / 2], const uint32_t (&a)[4], SharedMatrix b,
                               bool add) {
  static_assert(kB == Major::kK || kN % 64 == 0);
  ProductInstruction<kN>::template WithRegisters<kB == Major::kMn ? 1 : 0>(sums, a, b.bits, add);
}

}  // namespace sluice::kernels::device
