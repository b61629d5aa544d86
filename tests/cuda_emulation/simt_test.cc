// SPDX-License-Identifier: Apache-2.0
// What the emulator promises of threads, warps, shared memory and tensor cores, and the mistakes
// that it must find.
#include "tests/cuda_emulation/simt.h"

#include <cuda_bf16.h>
#include <cuda_runtime.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <memory>
#include <random>
#include <vector>

#include "kernels/device/async_copy.cuh"
#include "kernels/device/launch.cuh"
#include "kernels/device/mma.cuh"
#include "kernels/device/named_barrier.cuh"
#include "kernels/device/tensor_map.cuh"
#include "kernels/device/wgmma.cuh"

namespace sluice::cuda_emulation {
namespace {

using kernels::device::CommitCopies;
using kernels::device::DynamicShared;
using kernels::device::WaitCopies;

constexpr uint32_t kAll = 0xffffffffu;

void OnDevice(dim3 grid, dim3 block, size_t shared_bytes, const std::function<void()>& body) {
  RunGrid({nullptr, grid, block, shared_bytes}, body);
}

class SimtDeath : public ::testing::Test {
 protected:
  // Other tests of this program leave threads behind.
  SimtDeath() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

int Thread() { return static_cast<int>(threadIdx.x); }

TEST(Simt, RunsEveryThreadOfEveryBlock) {
  std::vector<int> runs(2 * 3 * 5 * 8 * 3, 0);
  OnDevice(dim3(2, 3, 5), dim3(8, 3), 0, [&] {
    const unsigned block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
    ++runs[(block * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x];
  });
  EXPECT_EQ(runs, std::vector<int>(runs.size(), 1));
}

TEST(Simt, BarrierOrdersWritesAndReads) {
  for (uint64_t seed = 1; seed < 20; ++seed) {
    SetSchedulingSeed(seed);
    std::vector<int> seen(256);
    OnDevice(1, 256, 1024, [&] {
      auto* shared = reinterpret_cast<int*>(DynamicShared());
      for (int round = 0; round < 3; ++round) {
        shared[Thread()] = 1000 * round + Thread();
        __syncthreads();
        seen[threadIdx.x] = shared[255 - Thread()];
        __syncthreads();
      }
    });
    for (int i = 0; i < 256; ++i) ASSERT_EQ(seen[static_cast<size_t>(i)], 2000 + 255 - i);
  }
}

// Without a barrier some thread finds the other's value missing, whichever is the first.
TEST(Simt, OrderOfWarpsAndLanesVaries) {
  int forwards = 0, backwards = 0, lanes = 0;
  for (uint64_t seed = 1; seed < 20; ++seed) {
    SetSchedulingSeed(seed);
    std::vector<int> order;
    OnDevice(1, 64, 0, [&] { order.push_back(Thread()); });
    (order[0] < 32 ? forwards : backwards)++;
    if (order[0] % 32 != 0) ++lanes;
  }
  EXPECT_GT(forwards, 0);
  EXPECT_GT(backwards, 0);
  EXPECT_GT(lanes, 0);
}

TEST(Simt, EndedThreadsAreNotWaitedFor) {
  int after = 0;
  OnDevice(1, 64, 0, [&] {
    if (Thread() >= 40) return;
    __syncthreads();
    ++after;
  });
  EXPECT_EQ(after, 40);
}

TEST_F(SimtDeath, ReportsABarrierThatAThreadMisses) {
  const auto kernel = [] {
    if (Thread() == 7) {
      __shfl_sync(kAll, 1, 0);
    } else {
      __syncthreads();
    }
  };
  EXPECT_DEATH(OnDevice(1, 64, 0, kernel),
               "no thread of the block can go on(.|\n)*at the barrier(.|\n)*simt_test.cc(.|\n)*"
               "from thread 7 on, waiting for lanes");
}

TEST_F(SimtDeath, ReportsBarriersThatAreNotTheSame) {
  const auto kernel = [] {
    if (Thread() < 32) {
      __syncthreads();
    } else {
      __syncthreads();
    }
  };
  EXPECT_DEATH(OnDevice(1, 64, 0, kernel), "different barriers");
}

TEST_F(SimtDeath, ReportsLanesAtDifferentOperations) {
  const auto kernel = [] {
    if (Thread() == 31) {
      __syncwarp();
    } else {
      __shfl_xor_sync(kAll, 1, 1);
    }
  };
  EXPECT_DEATH(OnDevice(1, 32, 0, kernel), "different warp operations");
  EXPECT_DEATH(OnDevice(1, 32, 0, [] { __ballot_sync(0xffffu, 1); }), "whose mask lacks it");
}

TEST(Simt, Shuffles) {
  for (const int width : {32, 16, 8, 2}) {
    std::vector<int> indexed(32), up(32), down(32), exchanged(32);
    OnDevice(1, 32, 0, [&] {
      indexed[threadIdx.x] = __shfl_sync(kAll, Thread(), 5, width);
      up[threadIdx.x] = __shfl_up_sync(kAll, Thread(), 3, width);
      down[threadIdx.x] = __shfl_down_sync(kAll, Thread(), 3, width);
      exchanged[threadIdx.x] = __shfl_xor_sync(kAll, Thread(), 1, width);
    });
    for (int lane = 0; lane < 32; ++lane) {
      const auto i = static_cast<size_t>(lane);
      const int first = lane / width * width, last = first + width - 1;
      EXPECT_EQ(indexed[i], first + 5 % width);
      EXPECT_EQ(up[i], lane - 3 < first ? lane : lane - 3);
      EXPECT_EQ(down[i], lane + 3 > last ? lane : lane + 3);
      EXPECT_EQ(exchanged[i], lane ^ 1);
    }
  }
}

TEST(Simt, ShufflesOfOtherTypesAndMasks) {
  std::vector<double> doubles(32);
  std::vector<float> halves(32);
  OnDevice(1, 32, 0, [&] {
    doubles[threadIdx.x] = __shfl_sync(kAll, Thread() + 0.25, 9);
    // Two halves of the warp at operations of their own; a lane of the other half has no value.
    const unsigned mask = Thread() < 16 ? 0xffffu : 0xffff0000u;
    halves[threadIdx.x] = __shfl_sync(mask, static_cast<float>(Thread()), 3);
  });
  EXPECT_EQ(doubles[31], 9.25);
  EXPECT_EQ(halves[4], 3.0f);
  EXPECT_TRUE(std::isnan(halves[20]));
}

TEST(Simt, VotesAndReductions) {
  std::vector<unsigned> ballots(32), sums(32), matches(32);
  int count = 0;
  OnDevice(1, 64, 0, [&] {
    const unsigned lane = threadIdx.x % 32;
    if (threadIdx.x < 32) {
      ballots[lane] = __ballot_sync(kAll, lane % 3 == 0);
      sums[lane] = __reduce_add_sync(kAll, lane);
      matches[lane] = __match_any_sync(kAll, lane / 4);
      EXPECT_EQ(__any_sync(kAll, lane == 4), 1);
      EXPECT_EQ(__all_sync(kAll, lane == 4), 0);
      EXPECT_EQ(__reduce_max_sync(kAll, lane), 31u);
    }
    const int in_block = __syncthreads_count(threadIdx.x >= 30);
    if (threadIdx.x == 63) count = in_block;
  });
  EXPECT_EQ(ballots[7], 0x49249249u);
  EXPECT_EQ(sums[12], 31u * 32u / 2u);
  EXPECT_EQ(matches[13], 0xf000u);
  EXPECT_EQ(count, 34);
}

TEST(Simt, Atomics) {
  int sum = 0, last_blocks = 0;
  unsigned arrived = 0;
  unsigned long long largest = 0;
  OnDevice(5, 96, 0, [&] {
    atomicAdd(&sum, Thread());
    atomicMax(&largest, static_cast<unsigned long long>(blockIdx.x));
    if (Thread() == 0 && atomicAdd(&arrived, 1u) == gridDim.x - 1) ++last_blocks;
  });
  EXPECT_EQ(sum, 5 * 95 * 96 / 2);
  EXPECT_EQ(largest, 4u);
  EXPECT_EQ(last_blocks, 1);
}

TEST(Simt, SharedMemoryIsNanAtFirst) {
  int nans = 0;
  OnDevice(3, 32, 128, [&] {
    auto* shared = reinterpret_cast<float*>(DynamicShared());
    nans += std::isnan(shared[threadIdx.x]) ? 1 : 0;
    __syncwarp();
    shared[threadIdx.x] = 1.0f;
  });
  EXPECT_EQ(nans, 96);
}

TEST_F(SimtDeath, ReportsWritesAroundSharedMemory) {
  EXPECT_DEATH(OnDevice(1, 1, 100, [] { DynamicShared()[100] = 1; }), "around its dynamic shared");
  EXPECT_DEATH(OnDevice(1, 1, 100, [] { DynamicShared()[-1] = 1; }), "around its dynamic shared");
}

// What the kernels' own code is compiled to call (access_hooks.cc).
TEST_F(SimtDeath, ReportsAccessesOfTheHostsMemory) {
  const auto heap = std::make_unique<int>(1);
  const int* host = heap.get();
  EXPECT_DEATH(OnDevice(1, 1, 64, [=] { CheckAccess(host, 4); }), "no memory of the device");
  EXPECT_DEATH(OnDevice(1, 1, 64, [] { CheckAccess(DynamicShared() + 62, 4); }),
               "no memory of the block");
  CheckAccess(host, 4);  // by the host
}

alignas(16) const float kNumbers[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

TEST(Simt, CopiesArriveAtTheirWait) {
  OnDevice(1, 1, 64, [] {
    auto* shared = reinterpret_cast<float*>(DynamicShared());
    for (int i = 0; i < 4; ++i) {
      kernels::device::CopyAsync16OrZero(shared + 4 * i, kNumbers + 4 * i, i != 2);
      CommitCopies();
    }
    EXPECT_TRUE(std::isnan(shared[0])) << "read before any wait";
    WaitCopies<2>();
    EXPECT_EQ(shared[1], 1.0f);
    EXPECT_EQ(shared[5], 5.0f);
    EXPECT_TRUE(std::isnan(shared[8])) << "one of the two groups that may still be under way";
    WaitCopies<0>();
    EXPECT_EQ(shared[9], 0.0f);
    EXPECT_EQ(shared[13], 13.0f);
    kernels::device::CopyAsync16(shared, kNumbers);
    WaitCopies<0>();
    EXPECT_TRUE(std::isnan(shared[0])) << "of a group that was not committed";
  });
}

TEST_F(SimtDeath, ReportsCopiesOfWrongAddresses) {
  EXPECT_DEATH(
      OnDevice(1, 1, 64, [] { kernels::device::CopyAsync16(DynamicShared() + 8, kNumbers); }),
      "misaligned");
  EXPECT_DEATH(
      OnDevice(1, 1, 64, [] { kernels::device::CopyAsync16(DynamicShared(), kNumbers + 1); }),
      "multiple of 16");
  EXPECT_DEATH(
      OnDevice(1, 1, 64, [] { kernels::device::CopyAsync16(DynamicShared() + 64, kNumbers); }),
      "outside");
}

// C = A B with A [16][16] row by row and B as [n][k]: what ldmatrix brings is what mma wants.
TEST(Simt, MultipliesMatrices) {
  std::mt19937 rng(1);
  std::normal_distribution<float> normal;
  std::vector<__nv_bfloat16> a(256), b(128);
  for (auto& value : a) value = __float2bfloat16(normal(rng));
  for (auto& value : b) value = __float2bfloat16(normal(rng));
  std::vector<float> c(128, NAN);
  OnDevice(1, 32, (256 + 256) * 2, [&] {
    auto* shared = reinterpret_cast<__nv_bfloat16*>(DynamicShared());
    const int lane = Thread();
    if (lane == 0) {
      std::copy(a.begin(), a.end(), shared);
      std::copy(b.begin(), b.end(), shared + 256);
      std::copy(b.begin(), b.end(), shared + 384);  // LoadMatrix4 wants four matrices
    }
    __syncwarp();
    uint32_t a_fragment[4], b_fragment[4];
    kernels::device::LoadMatrix4(a_fragment,
                                 shared + (lane / 8 % 2 * 8 + lane % 8) * 16 + lane / 16 * 8);
    kernels::device::LoadMatrix4(b_fragment,
                                 shared + 256 + (lane / 16 * 8 + lane % 8) * 16 + lane / 8 % 2 * 8);
    float sums[4] = {};
    kernels::device::Mma16x8x16(sums, a_fragment, {b_fragment[0], b_fragment[1]});
    for (int i = 0; i < 4; ++i) {
      c[static_cast<size_t>((lane / 4 + i / 2 * 8) * 8 + 2 * (lane % 4) + i % 2)] = sums[i];
    }
  });
  for (size_t row = 0; row < 16; ++row) {
    for (size_t column = 0; column < 8; ++column) {
      float sum = 0.0f;
      for (size_t k = 0; k < 16; ++k) {
        sum += __bfloat162float(a[row * 16 + k]) * __bfloat162float(b[column * 16 + k]);
      }
      EXPECT_NEAR(c[row * 8 + column], sum, 1e-5f);
    }
  }
}

TEST(Simt, TransposesMatrices) {
  OnDevice(1, 32, 512, [] {
    auto* shared = reinterpret_cast<uint16_t*>(DynamicShared());
    for (int i = Thread(); i < 256; i += 32) shared[i] = static_cast<uint16_t>(i);
    __syncwarp();
    uint32_t plain[4], transposed[4];
    const uint16_t* row = shared + Thread() * 8;  // matrix i is elements 64 i and on
    kernels::device::LoadMatrix4(plain, row);
    kernels::device::LoadMatrix4Transposed(transposed, row);
    const auto g = static_cast<uint32_t>(Thread() / 4), t = static_cast<uint32_t>(Thread() % 4);
    for (uint32_t i = 0; i < 4; ++i) {
      const uint32_t at = 64 * i + 8 * g + 2 * t, from = 64 * i + 16 * t + g;
      EXPECT_EQ(plain[i], at | (at + 1) << 16);
      EXPECT_EQ(transposed[i], from | (from + 8) << 16);
      EXPECT_EQ(kernels::device::TransposeMatrix(plain[i]), transposed[i]);
    }
  });
}

TEST_F(SimtDeath, ReportsMatrixOperationsOfPartOfAWarp) {
  EXPECT_DEATH(OnDevice(1, 16, 0, [] { kernels::device::TransposeMatrix(0); }), "whole warp");
}

constexpr int kProductBytes = 64 * kernels::device::kSwizzleRowBytes;

// 64 x 64 ones times 64 x 8 ones, in two groups.
void IssueProducts(float (&sums)[4]) {
  auto* shared = reinterpret_cast<uint32_t*>(DynamicShared());
  for (int i = Thread(); i < kProductBytes / 4; i += 128) shared[i] = 0x3f803f80u;
  __syncthreads();
  const kernels::device::SharedMatrix matrix = kernels::device::KMajorMatrix(shared);
  kernels::device::FenceProducts(sums);
  for (int group = 0; group < 2; ++group) {
    for (int step = 0; step < 2; ++step) {
      const kernels::device::SharedMatrix at = matrix.Advance(64 * group + 32 * step);
      kernels::device::Product<8>(sums, at, at, group + step > 0);
    }
    kernels::device::CommitProducts();
  }
}

TEST(Simt, SumsOfProductsArriveAtTheWait) {
  OnDevice(1, 128, kProductBytes, [] {
    float sums[4] = {9.0f, 9.0f, 9.0f, 9.0f};
    IssueProducts(sums);
    EXPECT_TRUE(std::isnan(sums[0])) << "read before any wait";
    kernels::device::WaitProducts<1>(sums);
    EXPECT_TRUE(std::isnan(sums[3])) << "of the group that may still be under way";
    kernels::device::WaitProducts<0>(sums);
    for (const float sum : sums) EXPECT_EQ(sum, 64.0f);
  });
}

TEST_F(SimtDeath, ReportsMisuseOfProducts) {
  EXPECT_DEATH(OnDevice(1, 128, kProductBytes,
                        [] {
                          float sums[4];
                          IssueProducts(sums);
                          DynamicShared()[16 * Thread()] = 0;
                          kernels::device::WaitProducts<0>(sums);
                        }),
               "changed under a product");
  EXPECT_DEATH(OnDevice(1, 128, kProductBytes,
                        [] {
                          float sums[4];
                          IssueProducts(sums);
                        }),
               "while products are under way");
}

// The first warp takes turns with the second, which only leaves word that it may go on.
TEST(Simt, NamedBarriersOpenForThoseWhoWait) {
  for (uint64_t seed = 1; seed < 20; ++seed) {
    SetSchedulingSeed(seed);
    OnDevice(1, 96, 64, [] {
      auto* shared = reinterpret_cast<int*>(DynamicShared());
      for (int round = 0; round < 3; ++round) {
        if (Thread() >= 64) break;  // the third warp has no part in it
        if (Thread() / 32 == 1) {
          if (Thread() == 32) shared[0] = round;
          __syncwarp();
          kernels::device::PassBarrier(1, 64);
          kernels::device::WaitAtBarrier(2, 64);
        } else {
          kernels::device::WaitAtBarrier(1, 64);
          EXPECT_EQ(shared[0], round);
          kernels::device::PassBarrier(2, 64);
        }
      }
    });
  }
}

// A box of 8 rows of a matrix [20][128], and its bytes where swizzled matrices have them.
TEST(Simt, BulkCopiesArriveAtTheWait) {
  std::vector<__nv_bfloat16> values(20 * 128);
  for (size_t i = 0; i < values.size(); ++i) values[i].bits = static_cast<uint16_t>(i);
  __nv_bfloat16* matrix = nullptr;
  ASSERT_EQ(cudaMalloc(&matrix, values.size() * sizeof(*matrix)), cudaSuccess);
  std::copy(values.begin(), values.end(), matrix);
  kernels::device::TensorMap map;
  ASSERT_EQ(kernels::device::MakeTensorMap(matrix, 20, 128, 8, &map), cudaSuccess);
  OnDevice(1, 64, 4096, [&] {
    uint8_t* const shared = DynamicShared();
    auto& barrier = *reinterpret_cast<kernels::device::TransferBarrier*>(shared + 2048);
    if (Thread() == 0) {
      barrier.SetUp(1);
      kernels::device::PublishBarriers();
    }
    __syncthreads();
    barrier.Wait(1);  // before the first phase ends
    __syncthreads();
    for (int phase = 0; phase < 2; ++phase) {
      if (Thread() == 0) {
        barrier.ArriveAndExpect(2048);
        for (int block = 0; block < 2; ++block) {
          kernels::device::CopyBox(map, 3 + phase, 64 * block, shared + 1024 * block, barrier);
        }
        EXPECT_EQ(shared[0], 0xff) << "read before the wait";
      }
      barrier.Wait(phase);
      for (int i = Thread(); i < 128; i += 64) {
        const int row = i / 16, column = i % 16;
        EXPECT_EQ(std::memcmp(
                      shared + column / 8 * 1024 + kernels::device::SwizzledOffset(row, column % 8),
                      &values[static_cast<size_t>((3 + phase + row) * 128 + column * 8)], 16),
                  0);
      }
      __syncthreads();
    }
  });
  EXPECT_EQ(cudaFree(matrix), cudaSuccess);
}

TEST_F(SimtDeath, ReportsMisuseOfBarriers) {
  EXPECT_DEATH(OnDevice(1, 64, 0, [] { kernels::device::WaitAtBarrier(1, 96); }),
               "no thread of the block can go on");
  EXPECT_DEATH(
      OnDevice(
          1, 32, 64,
          [] { reinterpret_cast<kernels::device::TransferBarrier*>(DynamicShared())->Wait(0); }),
      "not set up");
  EXPECT_DEATH(OnDevice(1, 32, 64,
                        [] {
                          auto* barrier =
                              reinterpret_cast<kernels::device::TransferBarrier*>(DynamicShared());
                          if (Thread() == 0) barrier->SetUp(1);
                          __syncwarp();
                          barrier->Wait(0);
                        }),
               "no thread of the block can go on");
}

}  // namespace
}  // namespace sluice::cuda_emulation
