// SPDX-License-Identifier: Apache-2.0
// The sum over peers whose rows are added to the residual and normed by one rank each.
#include "kernels/collective/peer_add_rms_norm.h"

#include <cmath>
#include <cstring>
#include <memory>
#include <utility>

#include "tests/kernels/cuda/normed_sum.h"

namespace sluice::kernels::collective {
namespace {

struct Case {
  int rows, width;
  int pieces = 1;
};

using Operation = NormedSum<Case>;

// Of a buffer. 2, 4 or 8 ranks: 34, 20 or 16 rows of 5,120 values, and 32, 20 or 16 of 32.
constexpr int kVectors = 32 * 1024;
constexpr int kFewVectors = 3 * 64;

class PeerAddRmsNormTest : public NormedSumTest {
 protected:
  PeerAddRmsNormTest() : NormedSumTest(kVectors) {}

  void LoadKernels() override {
    const Operation one = Make({1, 8});
    for (int rank = 0; rank < world(); ++rank) Enqueue(rank, one);
    CheckCuda(cudaDeviceSynchronize());
  }

  Operation Make(const Case& of) { return MakeSum(of); }

  PeerAddRmsNorm ArgumentsOf(int rank, const Operation& operation) {
    const NormedPart& part = operation.parts[static_cast<size_t>(rank)];
    PeerAddRmsNorm arguments = {.group = Of(rank).group,
                                .norm = {.residual = part.residual->get(),
                                         .delta = &part.linear,
                                         .weight = operation.weight_device->get(),
                                         .eps = 1e-6f,
                                         .rows = operation.of.rows,
                                         .width = operation.of.width,
                                         .out = part.out->get()},
                                .num_sms = std::max(1, NumSms() / world())};
    arguments.group.vectors = used_vectors_;
    return arguments;
  }
  void Enqueue(int rank, const Operation& operation) {
    const LaunchResult result = RunPeerAddRmsNorm(ArgumentsOf(rank, operation), Of(rank).stream);
    ASSERT_TRUE(result.ok()) << result.problem << ": " << cudaGetErrorString(result.error);
  }

  // Each row's sum to the bit in the residual of exactly one rank, whose others are untouched; its
  // norm, to a rounding of bf16, with the same bits on all.
  void Expect(const Operation& operation) {
    const auto [rows, width, pieces] = operation.of;
    SCOPED_TRACE(::testing::Message() << rows << " x " << width << ", " << pieces << " pieces");
    const auto columns = static_cast<size_t>(width);
    const std::vector<float> sums = SumOverRanks(operation.parts);
    std::vector<float> expected = operation.start;
    for (size_t i = 0; i < expected.size(); ++i) expected[i] += sums[i];
    std::vector<std::vector<float>> residuals;
    std::vector<std::vector<__nv_bfloat16>> outs;
    for (int rank = 0; rank < world(); ++rank) {
      CheckCuda(cudaStreamSynchronize(Of(rank).stream));
      residuals.push_back(operation.parts[static_cast<size_t>(rank)].residual->ToHost());
      outs.push_back(operation.parts[static_cast<size_t>(rank)].out->ToHost());
      const size_t bytes = outs.back().size() * sizeof(__nv_bfloat16);
      EXPECT_EQ(std::memcmp(outs.back().data(), outs.front().data(), bytes), 0);
    }
    for (size_t row = 0; row < static_cast<size_t>(rows); ++row) {
      const size_t at = row * columns;
      int owners = 0;
      for (const std::vector<float>& residual : residuals) {
        const auto same = [&](const std::vector<float>& other) {
          return std::memcmp(&residual[at], &other[at], columns * sizeof(float)) == 0;
        };
        if (same(expected)) {
          ++owners;
        } else {
          EXPECT_TRUE(same(operation.start)) << "row " << row;
        }
      }
      EXPECT_EQ(owners, 1) << "row " << row;
      double squares = 0.0;
      for (size_t i = 0; i < columns; ++i) squares += double{expected[at + i]} * expected[at + i];
      const double factor = 1.0 / std::sqrt(squares / width + 1e-6);
      for (const std::vector<__nv_bfloat16>& out : outs) {
        for (size_t i = 0; i < columns; ++i) {
          const double value =
              double{__bfloat162float(operation.weight[i])} * expected[at + i] * factor;
          ASSERT_NEAR(__bfloat162float(out[at + i]), value, std::abs(value) * 0x1.01p-8)
              << "row " << row << ", column " << i;
        }
      }
    }
  }

  void Check(const std::vector<Case>& cases) {
    for (const Case& of : cases) {
      const Operation operation = Make(of);
      for (int rank = 0; rank < world(); ++rank) Enqueue(rank, operation);
      Expect(operation);
    }
  }

  int64_t used_vectors_ = kVectors;  // of a buffer
};

TEST_P(PeerAddRmsNormTest, SumsAddsAndNormsRows) {
  Check(
      {{1, 8}, {3, 8, 2}, {1, 5120, 2}, {2, 5120}, {9, 520, 3}, {5, 1032}, {1, 10240}, {23, 264}});
}

TEST_P(PeerAddRmsNormTest, TakesTurnsWhereBuffersHoldNotAllRows) {
  used_vectors_ = kFewVectors;
  Check({{16, 32}, {17, 32, 2}, {40, 32}, {1, 32}, {9, 64, 2}});
}

TEST_P(PeerAddRmsNormTest, RanksNeedNotKeepStep) {
  used_vectors_ = kFewVectors;
  std::vector<Operation> operations;
  for (const Case& of : {Case{33, 32, 2}, Case{1, 64}, Case{18, 32}}) {
    operations.push_back(Make(of));
  }
  for (int rank = world() - 1; rank >= 0; --rank) {
    for (const Operation& operation : operations) Enqueue(rank, operation);
  }
  for (const Operation& operation : operations) Expect(operation);
}

TEST_P(PeerAddRmsNormTest, TakesTurnsAtTheBuffersWithPlainSums) {
  using Sums = std::vector<std::unique_ptr<DeviceArray<float>>>;  // by rank
  std::vector<Operation> operations;
  std::vector<Sums> sums;
  for (const Case& of : {Case{9, 64, 2}, Case{1, 64}, Case{20, 32}, Case{7, 128, 2}}) {
    operations.push_back(Make(of));
    Sums& own = sums.emplace_back();
    for (int rank = 0; rank < world(); ++rank) {
      own.push_back(std::make_unique<DeviceArray<float>>(operations.back().start.size()));
    }
  }
  CheckCuda(cudaDeviceSynchronize());
  for (int rank = 0; rank < world(); ++rank) {
    for (size_t i = 0; i < operations.size(); ++i) {
      Enqueue(rank, operations[i]);
      const auto index = static_cast<size_t>(rank);
      const LaunchResult result = RunPeerAllReduce(
          {.group = Of(rank).group,
           .algorithm = i % 2 == 0 ? PeerAlgorithm::kTwoShot : PeerAlgorithm::kOneShot,
           .part = operations[i].parts[index].linear,
           .out = sums[i][index]->get(),
           .num_sms = std::max(1, NumSms() / world())},
          Of(rank).stream);
      ASSERT_TRUE(result.ok()) << result.problem << ": " << cudaGetErrorString(result.error);
    }
  }
  for (size_t i = 0; i < operations.size(); ++i) {
    Expect(operations[i]);
    for (const auto& sum : sums[i]) EXPECT_EQ(sum->ToHost(), SumOverRanks(operations[i].parts));
  }
}

TEST_P(PeerAddRmsNormTest, NotANumberStaysOneOnAllRanks) {
  const Operation operation = Make({2, 64});
  // In a row of all bits, which stand for what has not come, and so in its norm.
  for (const NormedPart& part : operation.parts) {
    CheckCuda(cudaMemset(part.values->get() + 64, 0xff, 64 * sizeof(float)));
  }
  CheckCuda(cudaDeviceSynchronize());
  for (int rank = 0; rank < world(); ++rank) Enqueue(rank, operation);
  for (int rank = 0; rank < world(); ++rank) {
    CheckCuda(cudaStreamSynchronize(Of(rank).stream));
    const auto out = operation.parts[static_cast<size_t>(rank)].out->ToHost();
    for (size_t i = 0; i < out.size(); ++i) {
      EXPECT_EQ(std::isnan(__bfloat162float(out[i])), i >= 64) << i;
    }
  }
}

TEST_P(PeerAddRmsNormTest, EndsWhenItIsAborted) {
  const Operation operation = Make({19, 64});
  for (int rank = 1; rank < world(); ++rank) Enqueue(rank, operation);  // and rank 0 does not come
  EXPECT_EQ(cudaStreamQuery(Of(1).stream), cudaErrorNotReady);
  *static_cast<volatile int*>(abort_) = 1;
  for (int rank = 1; rank < world(); ++rank) CheckCuda(cudaStreamSynchronize(Of(rank).stream));
  // What comes after it ends at once, and nothing of it reaches a rank that may still wait.
  const std::vector<float4> before = Of(0).buffer.ToHost();
  const Operation next = Make({19, 64});
  for (int rank = 1; rank < world(); ++rank) {
    Enqueue(rank, next);
    CheckCuda(cudaStreamSynchronize(Of(rank).stream));
  }
  const std::vector<float4> after = Of(0).buffer.ToHost();
  EXPECT_EQ(std::memcmp(before.data(), after.data(), after.size() * sizeof(float4)), 0);
}

TEST_P(PeerAddRmsNormTest, RefusesWhatItCannotDo) {
  const Operation operation = Make({2, 64});
  const auto expect_refusal = [&](auto change) {
    PeerAddRmsNorm arguments = ArgumentsOf(0, operation);
    change(arguments);
    EXPECT_EQ(RunPeerAddRmsNorm(arguments, Of(0).stream).error, cudaErrorInvalidValue);
  };
  expect_refusal([](PeerAddRmsNorm& of) { of.norm.delta = nullptr; });
  expect_refusal([](PeerAddRmsNorm& of) { of.norm.rows = 1; });
  expect_refusal([](PeerAddRmsNorm& of) { of.norm.width = 56; });
  expect_refusal([](PeerAddRmsNorm& of) { of.norm.residual += 1; });
  expect_refusal([](PeerAddRmsNorm& of) { of.norm.out += 1; });
  expect_refusal([](PeerAddRmsNorm& of) { of.norm.out = nullptr; });
  expect_refusal([](PeerAddRmsNorm& of) { of.norm.weight += 1; });
  expect_refusal([](PeerAddRmsNorm& of) { of.num_sms = 0; });
  expect_refusal([](PeerAddRmsNorm& of) { of.group.world_size = 3; });
  expect_refusal([this](PeerAddRmsNorm& of) { of.group.vectors = 24 * (world() - 1) - 1; });
  EXPECT_FALSE(TakesPeerAddRmsNorm(world(), 12, kVectors));
  EXPECT_FALSE(TakesPeerAddRmsNorm(world(), 10248, int64_t{1} << 20));
  EXPECT_TRUE(TakesPeerAddRmsNorm(world(), 64, 24 * (world() - 1)));
}

INSTANTIATE_TEST_SUITE_P(Worlds, PeerAddRmsNormTest, ::testing::Values(2, 4, 8));

}  // namespace
}  // namespace sluice::kernels::collective
