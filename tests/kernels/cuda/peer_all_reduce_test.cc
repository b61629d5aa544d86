// SPDX-License-Identifier: Apache-2.0
// The all-reduce over peers, both ways.
#include "kernels/collective/peer_all_reduce.h"

#include <cmath>
#include <cstring>
#include <memory>
#include <tuple>

#include "tests/kernels/cuda/peer_ranks.h"

namespace sluice::kernels::collective {
namespace {

struct Case {
  PeerAlgorithm algorithm;
  int rows, outputs;
  int pieces = 1;
};

struct ReducedPart : Part {
  std::unique_ptr<DeviceArray<float>> out;  // null: in place
};

constexpr int kVectors = 32 * 1024;  // of a buffer

class PeerAllReduceTest : public PeerRanksTest {
 protected:
  PeerAllReduceTest() : PeerRanksTest(kVectors) {}

  void LoadKernels() override {
    for (const PeerAlgorithm algorithm : {PeerAlgorithm::kOneShot, PeerAlgorithm::kTwoShot}) {
      const Case one = {algorithm, 1, 4};
      const std::vector<ReducedPart> parts = MakeParts(one);
      for (int rank = 0; rank < world(); ++rank) {
        Enqueue(rank, one, parts[static_cast<size_t>(rank)]);
      }
      CheckCuda(cudaDeviceSynchronize());
    }
  }

  ReducedPart MakeReducedPart(const Case& one) {
    ReducedPart part = {MakePart(one.rows, one.outputs, one.pieces), nullptr};
    part.out = std::make_unique<DeviceArray<float>>(part.sums.size());
    return part;
  }

  std::vector<ReducedPart> MakeParts(const Case& one, bool in_place = false) {
    std::vector<ReducedPart> parts;
    for (int rank = 0; rank < world(); ++rank) {
      parts.push_back(MakeReducedPart(one));
      if (in_place) parts.back().out.reset();
    }
    CheckCuda(cudaDeviceSynchronize());  // fills of memory; the ranks' streams wait for nobody
    return parts;
  }

  static float* OutOf(const ReducedPart& part) {
    return part.out != nullptr ? part.out->get() : part.values->get();
  }

  void Enqueue(int rank, const Case& one, const ReducedPart& part) {
    PeerAllReduce operation = {.group = Of(rank).group,
                               .algorithm = one.algorithm,
                               .part = part.linear,
                               .out = OutOf(part),
                               .num_sms = std::max(1, NumSms() / world())};
    operation.group.vectors = used_vectors_;
    const LaunchResult result = RunPeerAllReduce(operation, Of(rank).stream);
    ASSERT_TRUE(result.ok()) << result.problem << ": " << cudaGetErrorString(result.error);
  }

  // In the order of the ranks, bit by bit.
  void ExpectSums(const Case& one, const std::vector<ReducedPart>& parts) {
    const std::vector<float> sums = SumOverRanks(parts);
    for (int rank = 0; rank < world(); ++rank) {
      const ReducedPart& part = parts[static_cast<size_t>(rank)];
      std::vector<float> got(sums.size());
      CheckCuda(cudaStreamSynchronize(Of(rank).stream));
      CheckCuda(
          cudaMemcpy(got.data(), OutOf(part), got.size() * sizeof(float), cudaMemcpyDeviceToHost));
      EXPECT_EQ(std::memcmp(got.data(), sums.data(), got.size() * sizeof(float)), 0)
          << "rank " << rank << ", " << one.rows << " x " << one.outputs << ", " << one.pieces
          << " pieces: begins with " << got[0] << ", not " << sums[0];
    }
  }

  int64_t used_vectors_ = kVectors;  // of a buffer
};

std::vector<Case> Cases() {
  std::vector<Case> cases;
  for (const PeerAlgorithm algorithm : {PeerAlgorithm::kOneShot, PeerAlgorithm::kTwoShot}) {
    for (const auto& [rows, outputs, pieces] :
         {std::tuple(1, 4, 1), std::tuple(1, 20, 3), std::tuple(3, 36, 1), std::tuple(1, 5120, 2),
          std::tuple(5, 132, 4), std::tuple(2, 8, 1)}) {
      cases.push_back({algorithm, rows, outputs, pieces});
    }
  }
  return cases;
}

TEST_P(PeerAllReduceTest, SumsInTheOrderOfRanks) {
  // One after the other through the same buffers, which are cleared for each other.
  for (int round = 0; round < 2; ++round) {
    for (const Case& one : Cases()) {
      const std::vector<ReducedPart> parts = MakeParts(one);
      for (int rank = 0; rank < world(); ++rank) {
        Enqueue(rank, one, parts[static_cast<size_t>(rank)]);
      }
      ExpectSums(one, parts);
    }
  }
}

TEST_P(PeerAllReduceTest, SumsInPlace) {
  for (const PeerAlgorithm algorithm : {PeerAlgorithm::kOneShot, PeerAlgorithm::kTwoShot}) {
    const Case one = {algorithm, 2, 1032};
    const std::vector<ReducedPart> parts = MakeParts(one, /*in_place=*/true);
    for (int rank = 0; rank < world(); ++rank) {
      Enqueue(rank, one, parts[static_cast<size_t>(rank)]);
    }
    ExpectSums(one, parts);
  }
}

// Buffers of 32 vectors hold a two-shot sum of 16: the last of several turns may have fewer, or
// one.
TEST_P(PeerAllReduceTest, SumsInTurnsWhatBuffersDoNotHold) {
  used_vectors_ = 32;
  for (const bool in_place : {false, true}) {
    for (const auto& [rows, outputs, pieces] :
         {std::tuple(1, 4 * 16, 1), std::tuple(1, 4 * 17, 1), std::tuple(3, 132, 1),
          std::tuple(3, 132, 2), std::tuple(7, 64, 3), std::tuple(1, 4, 1)}) {
      const Case one = {PeerAlgorithm::kTwoShot, rows, outputs, in_place ? 1 : pieces};
      const std::vector<ReducedPart> parts = MakeParts(one, in_place);
      for (int rank = 0; rank < world(); ++rank) {
        Enqueue(rank, one, parts[static_cast<size_t>(rank)]);
      }
      ExpectSums(one, parts);
    }
  }
}

TEST_P(PeerAllReduceTest, RanksNeedNotKeepStep) {
  // Each rank enqueues all of its operations before the next does: the fastest waits in its first.
  const std::vector<Case> cases = Cases();
  std::vector<std::vector<ReducedPart>> parts;
  for (const Case& one : cases) parts.push_back(MakeParts(one));
  for (int rank = world() - 1; rank >= 0; --rank) {
    for (size_t i = 0; i < cases.size(); ++i) {
      Enqueue(rank, cases[i], parts[i][static_cast<size_t>(rank)]);
    }
  }
  for (size_t i = 0; i < cases.size(); ++i) ExpectSums(cases[i], parts[i]);
}

TEST_P(PeerAllReduceTest, GraphsReplay) {
  const std::vector<Case> cases = {{PeerAlgorithm::kOneShot, 1, 512, 3},
                                   {PeerAlgorithm::kOneShot, 2, 64},
                                   {PeerAlgorithm::kTwoShot, 3, 68},
                                   {PeerAlgorithm::kOneShot, 1, 4}};
  std::vector<std::vector<ReducedPart>> parts;
  for (const Case& one : cases) parts.push_back(MakeParts(one));
  Replay(
      20,
      [&](int rank) {
        for (size_t i = 0; i < cases.size(); ++i) {
          Enqueue(rank, cases[i], parts[i][static_cast<size_t>(rank)]);
        }
      },
      [&] {
        for (const auto& of_case : parts) {
          for (const ReducedPart& part : of_case) {
            CheckCuda(cudaMemset(part.out->get(), 0xff, part.out->size() * sizeof(float)));
          }
        }
      },
      [&] {
        for (size_t i = 0; i < cases.size(); ++i) ExpectSums(cases[i], parts[i]);
      });
}

TEST_P(PeerAllReduceTest, PassesOnWhatIsNotANumber) {
  for (const PeerAlgorithm algorithm : {PeerAlgorithm::kOneShot, PeerAlgorithm::kTwoShot}) {
    const Case one = {algorithm, 1, 16};
    const std::vector<ReducedPart> parts = MakeParts(one);
    // The very bits that stand for a value that has not come.
    CheckCuda(cudaMemset(parts[1].values->get(), 0xff, 3 * sizeof(float)));
    CheckCuda(cudaDeviceSynchronize());
    for (int rank = 0; rank < world(); ++rank) {
      Enqueue(rank, one, parts[static_cast<size_t>(rank)]);
    }
    for (int rank = 0; rank < world(); ++rank) {
      CheckCuda(cudaStreamSynchronize(Of(rank).stream));
      const std::vector<float> got = parts[static_cast<size_t>(rank)].out->ToHost();
      for (size_t i = 0; i < got.size(); ++i) EXPECT_EQ(std::isnan(got[i]), i < 3) << i;
    }
  }
}

TEST_P(PeerAllReduceTest, EndsWhenItIsAborted) {
  const Case one = {PeerAlgorithm::kOneShot, 1, 5120};
  const std::vector<ReducedPart> parts = MakeParts(one);
  for (int rank = 1; rank < world(); ++rank) {
    Enqueue(rank, one, parts[static_cast<size_t>(rank)]);  // and rank 0 does not come
  }
  EXPECT_EQ(cudaStreamQuery(Of(1).stream), cudaErrorNotReady);
  *static_cast<volatile int*>(abort_) = 1;
  for (int rank = 1; rank < world(); ++rank) CheckCuda(cudaStreamSynchronize(Of(rank).stream));
  // What comes after it ends at once, and nothing of it reaches a rank that may still wait.
  std::vector<float4> before = Of(0).buffer.ToHost();
  for (int rank = 1; rank < world(); ++rank) {
    for (const PeerAlgorithm algorithm : {PeerAlgorithm::kOneShot, PeerAlgorithm::kTwoShot}) {
      Enqueue(rank, {algorithm, 1, 5120}, parts[static_cast<size_t>(rank)]);
    }
    CheckCuda(cudaStreamSynchronize(Of(rank).stream));
  }
  const std::vector<float4> after = Of(0).buffer.ToHost();
  EXPECT_EQ(std::memcmp(before.data(), after.data(), after.size() * sizeof(float4)), 0);
}

TEST_P(PeerAllReduceTest, RefusesWhatDoesNotFit) {
  const ReducedPart part = MakeReducedPart({PeerAlgorithm::kOneShot, 1, 8});
  PeerAllReduce operation = {
      .group = Of(0).group, .part = part.linear, .out = part.out->get(), .num_sms = 1};
  operation.part.rows = kVectors;  // twice as many vectors, from each rank
  EXPECT_EQ(RunPeerAllReduce(operation, Of(0).stream).error, cudaErrorInvalidValue);
  operation.part.rows = 1;
  operation.algorithm = PeerAlgorithm::kTwoShot;
  operation.group.vectors = 2 * world() - 1;  // not one for each rank's share, twice
  EXPECT_EQ(RunPeerAllReduce(operation, Of(0).stream).error, cudaErrorInvalidValue);
  operation.group.vectors = kVectors;
  operation.algorithm = PeerAlgorithm::kOneShot;
  operation.part.row_scale.squares = part.out->get();
  EXPECT_EQ(RunPeerAllReduce(operation, Of(0).stream).error, cudaErrorInvalidValue);
  operation.part.row_scale = {};
  operation.part.outputs = 6;
  EXPECT_EQ(RunPeerAllReduce(operation, Of(0).stream).error, cudaErrorInvalidValue);
  operation.part.outputs = 8;
  operation.out += 1;
  EXPECT_EQ(RunPeerAllReduce(operation, Of(0).stream).error, cudaErrorInvalidValue);
  operation.out -= 1;
  operation.group.world_size = 3;
  EXPECT_EQ(RunPeerAllReduce(operation, Of(0).stream).error, cudaErrorInvalidValue);
}

INSTANTIATE_TEST_SUITE_P(Worlds, PeerAllReduceTest, ::testing::Values(2, 4, 8));

}  // namespace
}  // namespace sluice::kernels::collective
