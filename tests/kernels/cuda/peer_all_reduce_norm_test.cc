// SPDX-License-Identifier: Apache-2.0
// The all-reduce over peers that adds to the residual and leaves an unfactored norm.
#include "kernels/collective/peer_all_reduce_norm.h"

#include <cmath>
#include <cstring>
#include <memory>
#include <utility>

#include "tests/kernels/cuda/normed_sum.h"

namespace sluice::kernels::collective {
namespace {

constexpr int kManySms = 132;

struct Case {
  int rows, width;
  int pieces = 1;
  int num_sms = kManySms;  // for the emulator, where as many blocks run at once as there are
};

using Operation = NormedSum<Case>;

class PeerAllReduceNormTest : public NormedSumTest {
 protected:
  // For 16 rows of 5,120 values.
  PeerAllReduceNormTest() : NormedSumTest(int64_t{16 * 5120 / 4} * GetParam()) {}

  void LoadKernels() override {
    const Operation one = Make({1, 4});
    for (int rank = 0; rank < world(); ++rank) Enqueue(rank, one);
    for (int rank = 0; rank < world(); ++rank) EnqueuePlain(rank, one.parts[Index(rank)]);
    CheckCuda(cudaDeviceSynchronize());
  }
  static size_t Index(int rank) { return static_cast<size_t>(rank); }
  // Blocks of all ranks run at once on the one device.
  int NumSmsFor(const Case& of) const {
#ifdef SLUICE_CUDA_EMULATED
    return of.num_sms;
#else
    return std::min(of.num_sms, std::max(1, NumSms() / world()));
#endif
  }

  // Those that fit.
  std::vector<Case> Cases() const {
    std::vector<Case> cases;
    for (int rows = 1; rows <= 8; ++rows) {
      cases.push_back({rows, 5120, rows % 2 == 0 ? 1 : 3});
      cases.push_back({rows, 516, rows % 2 == 0 ? 3 : 1});
    }
    for (const Case& more : {Case{1, 4}, Case{5, 4, 2}, Case{1, 36, 2}, Case{8, 36}, Case{3, 1028},
                             Case{16, 5120, 2}, Case{16, 260, 2}, Case{64, 128}, Case{128, 128, 2},
                             // Several vectors a thread, of one and of two parts.
                             Case{1, 5120, 2, 1}, Case{2, 5120, 2, 2}, Case{1, 5120, 1, 2}}) {
      cases.push_back(more);
    }
    std::erase_if(cases, [this](const Case& of) {
      constexpr int kMostThreads = 12'000;  // that the emulator lets wait
      const int waiting = std::max(of.width / 4, 32) * of.rows * (world() - 1);
      return of.rows > NumSmsFor(of) || (kSmallShapes && waiting > kMostThreads);
    });
    return cases;
  }

  Operation Make(const Case& of) { return MakeSum(of); }

  PeerAllReduceNorm ArgumentsOf(int rank, const Operation& operation) {
    const NormedPart& part = operation.parts[Index(rank)];
    return {.group = Of(rank).group,
            .part = part.linear,
            .norm = {.residual = part.residual->get(),
                     .weight = operation.weight_device->get(),
                     .eps = 1e-6f,
                     .out = part.out->get(),
                     .squares = part.squares->get()},
            .num_sms = NumSmsFor(operation.of)};
  }
  void Enqueue(int rank, const Operation& operation) {
    const LaunchResult result = RunPeerAllReduceNorm(ArgumentsOf(rank, operation), Of(rank).stream);
    ASSERT_TRUE(result.ok()) << result.problem << ": " << cudaGetErrorString(result.error);
  }
  // The sum alone, in place of the residual.
  void EnqueuePlain(int rank, const NormedPart& part) {
    const LaunchResult result = RunPeerAllReduce({.group = Of(rank).group,
                                                  .algorithm = PeerAlgorithm::kOneShot,
                                                  .part = part.linear,
                                                  .out = part.residual->get(),
                                                  .num_sms = std::max(1, NumSms() / world())},
                                                 Of(rank).stream);
    ASSERT_TRUE(result.ok()) << result.problem << ": " << cudaGetErrorString(result.error);
  }

  // The residual and the unfactored norm to the bit, factors to 1e-6.
  void Expect(int rank, const Operation& operation) {
    const auto [rows, width, pieces, num_sms] = operation.of;
    SCOPED_TRACE(::testing::Message() << "rank " << rank << ", " << rows << " x " << width << ", "
                                      << pieces << " pieces, " << num_sms);
    const NormedPart& part = operation.parts[Index(rank)];
    const std::vector<float> sums = SumOverRanks(operation.parts);
    std::vector<float> residual = operation.start;
    std::vector<__nv_bfloat16> out(residual.size());
    std::vector<double> squares(static_cast<size_t>(rows));
    for (size_t i = 0; i < residual.size(); ++i) {
      residual[i] += sums[i];
      const size_t row = i / static_cast<size_t>(width), column = i % static_cast<size_t>(width);
      out[i] = __float2bfloat16(__bfloat162float(operation.weight[column]) * residual[i]);
      squares[row] += double{residual[i]} * double{residual[i]};
    }
    CheckCuda(cudaStreamSynchronize(Of(rank).stream));
    EXPECT_EQ(part.residual->ToHost(), residual);
    const std::vector<__nv_bfloat16> actual = part.out->ToHost();
    EXPECT_EQ(std::memcmp(actual.data(), out.data(), out.size() * sizeof(__nv_bfloat16)), 0);
    const awq::RowScale scale = ScaleAfter(ArgumentsOf(rank, operation).norm, width);
    const std::vector<float> of_parts = part.squares->ToHost();
    for (size_t row = 0; row < squares.size(); ++row) {
      float sum = 0.0f;
      for (int k = 0; k < awq::kRowParts; ++k) sum += of_parts[row * awq::kRowParts + Index(k)];
      const double factor = 1.0 / std::sqrt(double{sum} / scale.width + double{scale.eps});
      const double expected = 1.0 / std::sqrt(squares[row] / width + 1e-6);
      EXPECT_NEAR(factor, expected, 1e-6 * expected) << "row " << row;
    }
  }
};

TEST_P(PeerAllReduceNormTest, AddsAndLeavesTheNorm) {
  // One after the other through the same buffers, which are cleared for each other.
  for (const Case& of : Cases()) {
    const Operation operation = Make(of);
    for (int rank = 0; rank < world(); ++rank) Enqueue(rank, operation);
    for (int rank = 0; rank < world(); ++rank) Expect(rank, operation);
  }
}

TEST_P(PeerAllReduceNormTest, RanksNeedNotKeepStep) {
  std::vector<Operation> operations;
  for (const Case& of : {Case{1, 5120, 2}, Case{3, 36}, Case{2, 1028}, Case{1, 4}, Case{2, 512}}) {
    operations.push_back(Make(of));
  }
  for (int rank = world() - 1; rank >= 0; --rank) {
    for (const Operation& operation : operations) Enqueue(rank, operation);
  }
  for (const Operation& operation : operations) {
    for (int rank = 0; rank < world(); ++rank) Expect(rank, operation);
  }
}

// Ranks whose GPUs have not the same number of multiprocessors may differ in what they choose.
TEST_P(PeerAllReduceNormTest, MeetsPlainSums) {
  for (int round = 0; round < 4; ++round) {
    const Operation operation = Make({2, 516, 2});
    for (int rank = 0; rank < world(); ++rank) {
      if (rank == round % world()) {
        EnqueuePlain(rank, operation.parts[Index(rank)]);
      } else {
        Enqueue(rank, operation);
      }
    }
    for (int rank = 0; rank < world(); ++rank) {
      if (rank != round % world()) {
        Expect(rank, operation);
        continue;
      }
      CheckCuda(cudaStreamSynchronize(Of(rank).stream));
      EXPECT_EQ(operation.parts[Index(rank)].residual->ToHost(), SumOverRanks(operation.parts));
    }
  }
}

TEST_P(PeerAllReduceNormTest, GraphsReplay) {
  std::vector<Operation> operations;
  for (const Case& of : {Case{1, 512, 3}, Case{2, 64}, Case{1, 4}, Case{2, 1028, 2}}) {
    operations.push_back(Make(of));
  }
  Replay(
      20,
      [&](int rank) {
        for (const Operation& operation : operations) Enqueue(rank, operation);
      },
      [&] {
        for (const Operation& operation : operations) {
          for (const NormedPart& part : operation.parts) {
            CheckCuda(cudaMemcpy(part.residual->get(), operation.start.data(),
                                 operation.start.size() * sizeof(float), cudaMemcpyHostToDevice));
            CheckCuda(cudaMemset(part.out->get(), 0xff, part.out->size() * sizeof(__nv_bfloat16)));
            CheckCuda(cudaMemset(part.squares->get(), 0xff, part.squares->size() * sizeof(float)));
          }
        }
      },
      [&] {
        for (const Operation& operation : operations) {
          for (int rank = 0; rank < world(); ++rank) Expect(rank, operation);
        }
      });
}

TEST_P(PeerAllReduceNormTest, EndsWhenItIsAborted) {
  const Operation operation = Make({1, 5120});
  for (int rank = 1; rank < world(); ++rank) Enqueue(rank, operation);  // and rank 0 does not come
  EXPECT_EQ(cudaStreamQuery(Of(1).stream), cudaErrorNotReady);
  *static_cast<volatile int*>(abort_) = 1;
  for (int rank = 1; rank < world(); ++rank) CheckCuda(cudaStreamSynchronize(Of(rank).stream));
  // What comes after it ends at once, and nothing of it reaches a rank that may still wait.
  const std::vector<float4> before = Of(0).buffer.ToHost();
  for (int rank = 1; rank < world(); ++rank) {
    Enqueue(rank, operation);
    CheckCuda(cudaStreamSynchronize(Of(rank).stream));
  }
  const std::vector<float4> after = Of(0).buffer.ToHost();
  EXPECT_EQ(std::memcmp(before.data(), after.data(), after.size() * sizeof(float4)), 0);
}

TEST_P(PeerAllReduceNormTest, RefusesWhatDoesNotFit) {
  EXPECT_TRUE(TakesPeerAllReduceNorm(awq::kMaxScaledRows, 132));
  EXPECT_FALSE(TakesPeerAllReduceNorm(awq::kMaxScaledRows + 1, 132));
  EXPECT_TRUE(TakesPeerAllReduceNorm(114, 114));
  EXPECT_FALSE(TakesPeerAllReduceNorm(115, 114));
  const Operation operation = Make({2, 8});
  const auto expect_refusal = [&](auto change) {
    PeerAllReduceNorm arguments = ArgumentsOf(0, operation);
    change(arguments);
    EXPECT_EQ(RunPeerAllReduceNorm(arguments, Of(0).stream).error, cudaErrorInvalidValue);
  };
  expect_refusal([](PeerAllReduceNorm& of) { of.num_sms = 1; });
  expect_refusal([](PeerAllReduceNorm& of) { of.part.rows = awq::kMaxScaledRows + 1; });
  expect_refusal([](PeerAllReduceNorm& of) { of.part.outputs = 6; });
  expect_refusal([](PeerAllReduceNorm& of) { of.group.vectors = 1; });
  expect_refusal([](PeerAllReduceNorm& of) { of.norm.residual += 1; });
  expect_refusal([](PeerAllReduceNorm& of) { of.norm.squares += 1; });
  expect_refusal([](PeerAllReduceNorm& of) { of.group.world_size = 3; });
}

INSTANTIATE_TEST_SUITE_P(Worlds, PeerAllReduceNormTest, ::testing::Values(2, 4, 8));

}  // namespace
}  // namespace sluice::kernels::collective
