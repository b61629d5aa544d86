// SPDX-License-Identifier: Apache-2.0
// A group of ranks for tests of sums over peers: streams of one device, so that what they write to
// each other is that device's memory. All blocks of all ranks have to fit it at once.
#pragma once

#include <cuda_runtime_api.h>

#include <algorithm>
#include <memory>
#include <random>
#include <vector>

#include "kernels/awq/split_plan.h"
#include "kernels/collective/peer_all_reduce.h"
#include "tests/kernels/cuda/device_array.h"

namespace sluice::kernels::collective {

// One rank and its stream.
struct PeerRank {
  explicit PeerRank(int64_t vectors)
      : buffer(static_cast<size_t>(kPeerBuffers * vectors)), turn(1) {
    CheckCuda(cudaMemset(turn.get(), 0, sizeof(PeerTurn)));
    CheckCuda(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  }
  ~PeerRank() { cudaStreamDestroy(stream); }
  PeerRank(const PeerRank&) = delete;
  PeerRank& operator=(const PeerRank&) = delete;

  DeviceArray<float4> buffer;  // begins with all bits set
  DeviceArray<PeerTurn> turn;
  cudaStream_t stream = nullptr;
  PeerGroup group;
};

// What one rank brings: values that are finished, or partial sums.
struct Part {
  awq::LinearOutput linear;
  std::unique_ptr<DeviceArray<float>> values;
  std::vector<float> sums;  // of the pieces
};

// By number of ranks.
class PeerRanksTest : public CudaTest, public ::testing::WithParamInterface<int> {
 protected:
  // vectors: of a buffer.
  explicit PeerRanksTest(int64_t vectors) : vectors_(vectors) {}

  void SetUp() override {
    CudaTest::SetUp();
    if (IsSkipped()) return;
    CheckCuda(cudaHostAlloc(reinterpret_cast<void**>(&abort_), sizeof(int), cudaHostAllocMapped));
    *abort_ = 0;
    for (int rank = 0; rank < world(); ++rank)
      ranks_.push_back(std::make_unique<PeerRank>(vectors_));
    for (int rank = 0; rank < world(); ++rank) {
      PeerGroup& group = Of(rank).group;
      group = {.rank = rank, .world_size = world(), .vectors = vectors_};
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
  // waits for one that comes later, were that the first. So each is launched once on all ranks.
  virtual void LoadKernels() = 0;

  int world() const { return GetParam(); }
  PeerRank& Of(int rank) { return *ranks_[static_cast<size_t>(rank)]; }

  float Draw() { return normal_(rng_); }

  Part MakePart(int rows, int outputs, int pieces) {
    const auto count = static_cast<size_t>(rows) * static_cast<size_t>(outputs);
    Part part;
    part.linear.rows = rows;
    part.linear.outputs = outputs;
    size_t copies = 1;
    if (pieces > 1) {
      // As many slices as pieces, each with one block a tile.
      part.linear.plan = awq::MakeSplitPlan(outputs, 128 * pieces, pieces, 1000, outputs);
      EXPECT_EQ(part.linear.plan.slices * part.linear.plan.max_pieces, pieces);
      copies = static_cast<size_t>(pieces);
    }
    std::vector<float> values(count * copies);
    for (float& value : values) value = Draw();
    part.values = std::make_unique<DeviceArray<float>>(values);
    part.sums.assign(count, 0.0f);
    for (size_t piece = 0; piece < copies; ++piece) {
      for (size_t i = 0; i < count; ++i) {
        const float value = values[piece * count + i];
        part.sums[i] = piece == 0 ? value : part.sums[i] + value;
      }
    }
    (pieces > 1 ? part.linear.partials : part.linear.float_values) = part.values->get();
    return part;
  }

  // The parts' sum in the order of the ranks.
  template <typename PartOrMore>
  static std::vector<float> SumOverRanks(const std::vector<PartOrMore>& parts) {
    std::vector<float> sums = parts[0].sums;
    for (size_t rank = 1; rank < parts.size(); ++rank) {
      for (size_t i = 0; i < sums.size(); ++i) sums[i] += parts[rank].sums[i];
    }
    return sums;
  }

  // Captures what enqueue(rank) enqueues, and replays it between before() and after().
  template <typename Enqueue, typename Before, typename After>
  void Replay(int times, Enqueue enqueue, Before before, After after) {
    std::vector<cudaGraphExec_t> graphs;
    for (int rank = 0; rank < world(); ++rank) {
      cudaGraph_t graph = nullptr;
      graphs.push_back(nullptr);
      CheckCuda(cudaStreamBeginCapture(Of(rank).stream, cudaStreamCaptureModeThreadLocal));
      enqueue(rank);
      CheckCuda(cudaStreamEndCapture(Of(rank).stream, &graph));
      CheckCuda(cudaGraphInstantiate(&graphs.back(), graph, 0));
      CheckCuda(cudaGraphDestroy(graph));
    }
    for (int replay = 0; replay < times; ++replay) {
      before();
      CheckCuda(cudaDeviceSynchronize());
      for (int rank = 0; rank < world(); ++rank) {
        CheckCuda(cudaGraphLaunch(graphs[static_cast<size_t>(rank)], Of(rank).stream));
      }
      after();
    }
    for (const cudaGraphExec_t graph : graphs) CheckCuda(cudaGraphExecDestroy(graph));
  }

  const int64_t vectors_;
  int* abort_ = nullptr;
  std::vector<std::unique_ptr<PeerRank>> ranks_;
  std::mt19937 rng_{7};
  std::normal_distribution<float> normal_;
};

}  // namespace sluice::kernels::collective
