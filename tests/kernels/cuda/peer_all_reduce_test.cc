// SPDX-License-Identifier: Apache-2.0
// The all-reduce over peers, its ranks being streams of one device: what they write to each other
// is that device's memory, and all their blocks fit it at once.
#include "kernels/collective/peer_all_reduce.h"

#include <cmath>
#include <cstring>
#include <functional>
#include <memory>
#include <tuple>

#include "kernels/awq/split_plan.h"
#include "tests/kernels/cuda/device_array.h"

namespace sluice::kernels::collective {
namespace {

constexpr int64_t kVectors = 32 * 1024;

// One rank and its stream.
struct Rank {
  Rank() : buffer(static_cast<size_t>(kPeerBuffers * kVectors)), turn(1) {
    CheckCuda(cudaMemset(turn.get(), 0, sizeof(PeerTurn)));
    CheckCuda(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  }
  ~Rank() { cudaStreamDestroy(stream); }
  Rank(const Rank&) = delete;
  Rank& operator=(const Rank&) = delete;

  DeviceArray<float4> buffer;  // begins with all bits set
  DeviceArray<PeerTurn> turn;
  cudaStream_t stream = nullptr;
  PeerGroup group;
};

// What one rank brings: values that are finished, or partial sums.
struct Part {
  awq::LinearOutput linear;
  std::unique_ptr<DeviceArray<float>> values;
  std::unique_ptr<DeviceArray<float>> out;  // null: in place
  std::vector<float> sums;                  // of the pieces
};

struct Case {
  PeerAlgorithm algorithm;
  int rows, outputs;
  int pieces = 1;
};

class PeerAllReduceTest : public CudaTest, public ::testing::WithParamInterface<int> {
 protected:
  void SetUp() override {
    CudaTest::SetUp();
    if (IsSkipped()) return;
    CheckCuda(cudaHostAlloc(reinterpret_cast<void**>(&abort_), sizeof(int), cudaHostAllocMapped));
    *abort_ = 0;
    for (int rank = 0; rank < world(); ++rank) ranks_.push_back(std::make_unique<Rank>());
    for (int rank = 0; rank < world(); ++rank) {
      PeerGroup& group = Of(rank).group;
      group = {.rank = rank, .world_size = world(), .vectors = kVectors};
      group.turn = Of(rank).turn.get();
      group.abort = abort_;
      for (int peer = 0; peer < world(); ++peer) group.buffers[peer] = Of(peer).buffer.get();
    }
    CheckCuda(cudaDeviceSynchronize());
    LoadKernels();
  }
  void TearDown() override {
    if (abort_ == nullptr) return;
    *static_cast<volatile int*>(abort_) = 1;  // whatever has gone wrong
    CheckCuda(cudaDeviceSynchronize());
    CheckCuda(cudaFreeHost(abort_));
  }

  // The first launch of a kernel loads it, and may wait for the device to do so: for a rank that
  // waits for one that comes later, were that the first.
  void LoadKernels() {
    for (const PeerAlgorithm algorithm : {PeerAlgorithm::kOneShot, PeerAlgorithm::kTwoShot}) {
      const Case one = {algorithm, 1, 4};
      const std::vector<Part> parts = MakeParts(one);
      for (int rank = 0; rank < world(); ++rank) {
        Enqueue(rank, one, parts[static_cast<size_t>(rank)]);
      }
      CheckCuda(cudaDeviceSynchronize());
    }
  }

  int world() const { return GetParam(); }
  Rank& Of(int rank) { return *ranks_[static_cast<size_t>(rank)]; }

  float Draw() { return normal_(rng_); }

  Part MakePart(const Case& one) {
    const auto count = static_cast<size_t>(one.rows) * static_cast<size_t>(one.outputs);
    Part part;
    part.linear.rows = one.rows;
    part.linear.outputs = one.outputs;
    size_t copies = 1;
    if (one.pieces > 1) {
      // As many slices as pieces, each with one block a tile.
      part.linear.plan =
          awq::MakeSplitPlan(one.outputs, 128 * one.pieces, one.pieces, 1000, one.outputs);
      EXPECT_EQ(part.linear.plan.slices * part.linear.plan.max_pieces, one.pieces);
      copies = static_cast<size_t>(one.pieces);
    }
    std::vector<float> values(count * copies);
    for (float& value : values) value = Draw();
    part.values = std::make_unique<DeviceArray<float>>(values);
    part.out = std::make_unique<DeviceArray<float>>(count);
    part.sums.assign(count, 0.0f);
    for (size_t piece = 0; piece < copies; ++piece) {
      for (size_t i = 0; i < count; ++i) {
        const float value = values[piece * count + i];
        part.sums[i] = piece == 0 ? value : part.sums[i] + value;
      }
    }
    (one.pieces > 1 ? part.linear.partials : part.linear.float_values) = part.values->get();
    return part;
  }

  std::vector<Part> MakeParts(const Case& one, bool in_place = false) {
    std::vector<Part> parts;
    for (int rank = 0; rank < world(); ++rank) {
      parts.push_back(MakePart(one));
      if (in_place) parts.back().out.reset();
    }
    CheckCuda(cudaDeviceSynchronize());  // fills of memory; the ranks' streams wait for nobody
    return parts;
  }

  static float* OutOf(const Part& part) {
    return part.out != nullptr ? part.out->get() : part.values->get();
  }

  void Enqueue(int rank, const Case& one, const Part& part) {
    const PeerAllReduce operation = {.group = Of(rank).group,
                                     .algorithm = one.algorithm,
                                     .part = part.linear,
                                     .out = OutOf(part),
                                     .num_sms = std::max(1, NumSms() / world())};
    const LaunchResult result = RunPeerAllReduce(operation, Of(rank).stream);
    ASSERT_TRUE(result.ok()) << result.problem << ": " << cudaGetErrorString(result.error);
  }

  // In the order of the ranks, bit by bit.
  void ExpectSums(const Case& one, const std::vector<Part>& parts) {
    std::vector<float> sums = parts[0].sums;
    for (size_t rank = 1; rank < parts.size(); ++rank) {
      for (size_t i = 0; i < sums.size(); ++i) sums[i] += parts[rank].sums[i];
    }
    for (int rank = 0; rank < world(); ++rank) {
      const Part& part = parts[static_cast<size_t>(rank)];
      std::vector<float> got(sums.size());
      CheckCuda(cudaStreamSynchronize(Of(rank).stream));
      CheckCuda(
          cudaMemcpy(got.data(), OutOf(part), got.size() * sizeof(float), cudaMemcpyDeviceToHost));
      EXPECT_EQ(std::memcmp(got.data(), sums.data(), got.size() * sizeof(float)), 0)
          << "rank " << rank << ", " << one.rows << " x " << one.outputs << ", " << one.pieces
          << " pieces: begins with " << got[0] << ", not " << sums[0];
    }
  }

  int* abort_ = nullptr;
  std::vector<std::unique_ptr<Rank>> ranks_;
  std::mt19937 rng_{7};
  std::normal_distribution<float> normal_;
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
      const std::vector<Part> parts = MakeParts(one);
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
    const std::vector<Part> parts = MakeParts(one, /*in_place=*/true);
    for (int rank = 0; rank < world(); ++rank) {
      Enqueue(rank, one, parts[static_cast<size_t>(rank)]);
    }
    ExpectSums(one, parts);
  }
}

TEST_P(PeerAllReduceTest, RanksNeedNotKeepStep) {
  // Each rank enqueues all of its operations before the next does: the fastest waits in its first.
  const std::vector<Case> cases = Cases();
  std::vector<std::vector<Part>> parts;
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
  std::vector<std::vector<Part>> parts;
  for (const Case& one : cases) parts.push_back(MakeParts(one));
  std::vector<cudaGraphExec_t> graphs;
  for (int rank = 0; rank < world(); ++rank) {
    cudaGraph_t graph = nullptr;
    graphs.push_back(nullptr);
    CheckCuda(cudaStreamBeginCapture(Of(rank).stream, cudaStreamCaptureModeThreadLocal));
    for (size_t i = 0; i < cases.size(); ++i) {
      Enqueue(rank, cases[i], parts[i][static_cast<size_t>(rank)]);
    }
    CheckCuda(cudaStreamEndCapture(Of(rank).stream, &graph));
    CheckCuda(cudaGraphInstantiate(&graphs.back(), graph, 0));
    CheckCuda(cudaGraphDestroy(graph));
  }
  for (int replay = 0; replay < 20; ++replay) {
    for (size_t i = 0; i < cases.size(); ++i) {
      for (Part& part : parts[i]) {
        CheckCuda(cudaMemset(part.out->get(), 0xff, part.out->size() * sizeof(float)));
      }
    }
    CheckCuda(cudaDeviceSynchronize());
    for (int rank = 0; rank < world(); ++rank) {
      CheckCuda(cudaGraphLaunch(graphs[static_cast<size_t>(rank)], Of(rank).stream));
    }
    for (size_t i = 0; i < cases.size(); ++i) ExpectSums(cases[i], parts[i]);
  }
  for (const cudaGraphExec_t graph : graphs) CheckCuda(cudaGraphExecDestroy(graph));
}

TEST_P(PeerAllReduceTest, PassesOnWhatIsNotANumber) {
  for (const PeerAlgorithm algorithm : {PeerAlgorithm::kOneShot, PeerAlgorithm::kTwoShot}) {
    const Case one = {algorithm, 1, 16};
    const std::vector<Part> parts = MakeParts(one);
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
  const std::vector<Part> parts = MakeParts(one);
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
  const Part part = MakePart({PeerAlgorithm::kOneShot, 1, 8});
  PeerAllReduce operation = {
      .group = Of(0).group, .part = part.linear, .out = part.out->get(), .num_sms = 1};
  operation.part.rows = static_cast<int>(kVectors);  // twice as many vectors, from each rank
  EXPECT_EQ(RunPeerAllReduce(operation, Of(0).stream).error, cudaErrorInvalidValue);
  operation.part.rows = 1;
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
