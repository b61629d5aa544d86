// SPDX-License-Identifier: Apache-2.0
// NCCL itself, alone and with peer memory beside it, one process a GPU as the worker runs it, on as
// many GPUs as there are (2, 4 or 8). Skipped on a machine with fewer than two. On the emulator,
// with a stand-in of NCCL, it is the tests themselves that are tested.
#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <numeric>
#include <random>
#include <thread>
#include <vector>

#include "kernels/norm/add_rms_norm.h"
#include "tests/support/rank_processes.h"
#include "worker/parallel/device_group.h"
#include "worker/parallel/nccl_communicator.h"
#include "worker/parallel/nccl_environment.h"
#include "worker/parallel/peer_communicator.h"

namespace sluice::worker {
namespace {

#define ASSERT_CUDA(call) ASSERT_EQ(call, cudaSuccess)

// Asked in a process of its own: this one must be able to fork.
int DeviceCount() {
  static const int count = RunRankProcesses(1, [](int) {
    int devices = 0;
    return cudaGetDeviceCount(&devices) == cudaSuccess ? devices : 0;
  });
  return count;
}

class Rank {
 public:
  Rank(int rank, int world_size) : rank_(rank), world_size_(world_size) {
    EXPECT_EQ(cudaSetDevice(rank), cudaSuccess);
    EXPECT_EQ(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), cudaSuccess);
  }
  Rank(const Rank&) = delete;
  Rank& operator=(const Rank&) = delete;

  int rank() const { return rank_; }
  int world_size() const { return world_size_; }
  cudaStream_t stream() const { return stream_; }

  // A group of its own for each number.
  std::unique_ptr<DeviceCommunicator> Meet(SharedTexts& texts, int number, AllReduceMode mode) {
    if (rank_ == 0) {
      const auto id = MakeDeviceGroupId();
      EXPECT_TRUE(id.ok()) << id.status();
      texts.Publish(number, id.value_or(""));
    }
    auto started = StartDeviceCommunicator(rank_, rank_, world_size_, texts.Wait(number), mode);
    EXPECT_TRUE(started.ok()) << started.status();
    if (!started.ok()) std::_Exit(1);
    const absl::Status ready = (*started)->WaitReady();
    EXPECT_TRUE(ready.ok()) << ready;
    return std::move(*started);
  }

  float* Allocate(size_t floats) {
    float* data = nullptr;
    EXPECT_EQ(cudaMalloc(reinterpret_cast<void**>(&data), floats * sizeof(float)), cudaSuccess);
    return data;
  }
  void Set(float* data, const std::vector<float>& values) {
    EXPECT_EQ(cudaMemcpyAsync(data, values.data(), values.size() * sizeof(float),
                              cudaMemcpyHostToDevice, stream_),
              cudaSuccess);
    EXPECT_EQ(cudaStreamSynchronize(stream_), cudaSuccess);
  }
  std::vector<float> Get(const float* data, size_t count) {
    std::vector<float> values(count);
    EXPECT_EQ(cudaMemcpyAsync(values.data(), data, count * sizeof(float), cudaMemcpyDeviceToHost,
                              stream_),
              cudaSuccess);
    EXPECT_EQ(cudaStreamSynchronize(stream_), cudaSuccess);
    return values;
  }

 private:
  const int rank_;
  const int world_size_;
  cudaStream_t stream_ = nullptr;
};

// What a stream captures, replayed; destroyed before its communicator.
class Graph {
 public:
  Graph(cudaStream_t stream, const std::function<void()>& enqueue) : stream_(stream) {
    cudaGraph_t graph = nullptr;
    EXPECT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), cudaSuccess);
    enqueue();
    EXPECT_EQ(cudaStreamEndCapture(stream, &graph), cudaSuccess);
    EXPECT_EQ(cudaGraphInstantiate(&exec_, graph, 0), cudaSuccess);
    EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
  }
  ~Graph() { EXPECT_EQ(cudaGraphExecDestroy(exec_), cudaSuccess); }
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;

  void Launch() { EXPECT_EQ(cudaGraphLaunch(exec_, stream_), cudaSuccess); }

 private:
  const cudaStream_t stream_;
  cudaGraphExec_t exec_ = nullptr;
};

class NcclMultiGpuTest : public ::testing::TestWithParam<AllReduceMode> {
 protected:
  void SetUp() override {
    if (DeviceCount() < 2) GTEST_SKIP() << "there are " << DeviceCount() << " GPUs";
  }

  static void RunRanks(const std::function<void(Rank&)>& body) {
    const int world_size = DeviceCount() >= 8 ? 8 : DeviceCount() >= 4 ? 4 : 2;
    EXPECT_EQ(RunRankProcesses(world_size,
                               [&](int rank) {
                                 Rank self(rank, world_size);
                                 body(self);
                                 return ::testing::Test::HasFailure() ? 1 : 0;
                               }),
              0);
  }

  std::unique_ptr<DeviceCommunicator> Meet(Rank& self, int number) {
    return self.Meet(texts_, number, GetParam());
  }

  SharedTexts texts_;
};
INSTANTIATE_TEST_SUITE_P(Modes, NcclMultiGpuTest,
                         ::testing::Values(AllReduceMode::kNccl, AllReduceMode::kAuto),
                         [](const auto& param) -> std::string {
                           return param.param == AllReduceMode::kNccl ? "Nccl" : "Auto";
                         });

// Whole numbers, so that every order of summing gives the same.
std::vector<float> WholeNumbers(int rank, size_t count) {
  std::vector<float> values(count);
  for (size_t i = 0; i < count; ++i) {
    values[i] = static_cast<float>((i * 7 + static_cast<size_t>(rank) * 13) % 1000);
  }
  return values;
}

// One decode row's activations, odd ones, a prefill chunk's.
#ifdef SLUICE_CUDA_EMULATED
constexpr size_t kCounts[] = {1, 3, 5120, 5121, 40 * 5120};
constexpr int kRows[] = {1, 3};
constexpr int kManyRows[] = {129};
constexpr int kReplays = 5;
#else
constexpr size_t kCounts[] = {1, 3, 5120, 5121, 640 * 1024, 2048 * 5120};
constexpr int kRows[] = {1, 3, 16, 60};
constexpr int kManyRows[] = {200, 5000};  // the latter in turns
constexpr int kReplays = 50;
#endif

TEST_P(NcclMultiGpuTest, SumsAreExactEagerAndCaptured) {
  RunRanks([&](Rank& self) {
    const auto group = Meet(self, 0);
    for (const size_t count : kCounts) {
      float* const data = self.Allocate(count);
      const std::vector<float> own = WholeNumbers(self.rank(), count);
      std::vector<float> sum(count, 0.0f);
      for (int rank = 0; rank < self.world_size(); ++rank) {
        const std::vector<float> values = WholeNumbers(rank, count);
        for (size_t i = 0; i < count; ++i) sum[i] += values[i];
      }
      const auto enqueue = [&] {
        const absl::Status status =
            group->AllReduceSum(data, static_cast<int64_t>(count), self.stream());
        EXPECT_TRUE(status.ok()) << status;
      };
      self.Set(data, own);
      enqueue();
      EXPECT_EQ(self.Get(data, count), sum) << count << " eager";
      Graph graph(self.stream(), enqueue);
      for (int replay = 0; replay < 3; ++replay) {
        self.Set(data, own);
        graph.Launch();
        EXPECT_EQ(self.Get(data, count), sum) << count << " captured";
      }
      ASSERT_CUDA(cudaFree(data));
    }
    EXPECT_TRUE(group->Check().ok());
  });
}

TEST_P(NcclMultiGpuTest, SameOperandsGiveTheSameBits) {
  // Two groups, one after the other; all ranks' results meet in texts: a hash each.
  RunRanks([&](Rank& self) {
    int number = 0;
    std::vector<std::string> hashes;
    for (int round = 0; round < 2; ++round) {
      const auto group = Meet(self, number++);
      std::string hash;
      for (const size_t count : kCounts) {
        float* const data = self.Allocate(count);
        std::mt19937 random(static_cast<unsigned>(self.rank()));
        std::normal_distribution<float> normal;
        std::vector<float> own(count);
        for (float& value : own) value = normal(random);
        const auto enqueue = [&] {
          EXPECT_TRUE(group->AllReduceSum(data, static_cast<int64_t>(count), self.stream()).ok());
        };
        self.Set(data, own);
        enqueue();
        const std::vector<float> first = self.Get(data, count);
        Graph graph(self.stream(), enqueue);
        for (int replay = 0; replay < 20; ++replay) {
          self.Set(data, own);
          graph.Launch();
          EXPECT_EQ(self.Get(data, count), first) << count << ", replay " << replay;
        }
        uint64_t sum = 14695981039346656037ULL;
        for (const float value : first) {
          uint32_t bits = 0;
          std::memcpy(&bits, &value, sizeof(bits));
          sum = (sum ^ bits) * 1099511628211ULL;
        }
        hash += std::to_string(sum) + " ";
        ASSERT_CUDA(cudaFree(data));
      }
      hashes.push_back(hash);
    }
    EXPECT_EQ(hashes[0], hashes[1]) << "between groups";
    if (self.rank() == 0) texts_.Publish(100, hashes[0]);
    EXPECT_EQ(texts_.Wait(100), hashes[0]) << "between ranks";
  });
}

// Both ways over peer memory, whatever the sizes for which they are chosen: sums of a linear's
// pieces in the order of the ranks, bit for bit, eager and replayed, as fast as ranks can enqueue.
TEST_P(NcclMultiGpuTest, PeerMemorySumsInTheOrderOfRanks) {
  if (GetParam() == AllReduceMode::kNccl) GTEST_SKIP() << "there is no peer memory";
  RunRanks([&](Rank& self) {
    const auto group = Meet(self, 0);
    auto& peers = dynamic_cast<PeerCommunicator&>(*group);
    if (!peers.has_peers()) {
#ifdef SLUICE_CUDA_EMULATED
      ADD_FAILURE() << "emulated GPUs reach each other";
#endif
      if (self.rank() == 0) std::fprintf(stderr, "%s\n", peers.Describe().c_str());
      return;
    }
    constexpr size_t kPieces = 3;
    for (const AllReducePath path : {AllReducePath::kOneShot, AllReducePath::kTwoShot}) {
      for (const int rows : kRows) {
        kernels::awq::LinearOutput part;
        part.rows = rows;
        part.outputs = 5120;
        part.plan = kernels::awq::MakeSplitPlan(5120, 128 * kPieces, kPieces, 100'000, 32);
        ASSERT_EQ(part.plan.slices * part.plan.max_pieces, static_cast<int>(kPieces));
        const size_t count = static_cast<size_t>(rows) * 5120;
        // What every rank has: pieces, then their sum.
        std::vector<float> own;
        std::vector<float> sum;
        for (int rank = 0; rank < self.world_size(); ++rank) {
          std::mt19937 random(static_cast<unsigned>(rank * 1000 + rows));
          std::normal_distribution<float> normal;
          std::vector<float> pieces(kPieces * count);
          for (float& value : pieces) value = normal(random);
          if (rank == self.rank()) own = pieces;
          if (rank == 0) sum.assign(count, 0.0f);
          for (size_t i = 0; i < count; ++i) {
            float of_rank = pieces[i];
            for (size_t p = 1; p < kPieces; ++p) of_rank += pieces[p * count + i];
            sum[i] = rank == 0 ? of_rank : sum[i] + of_rank;
          }
        }
        float* const data = self.Allocate(own.size());
        float* const out = self.Allocate(count);
        part.partials = data;
        self.Set(data, own);
        const auto enqueue = [&] {
          const absl::Status status = peers.AllReduceOn(path, part, out, self.stream());
          EXPECT_TRUE(status.ok()) << status;
        };
        enqueue();
        EXPECT_TRUE(self.Get(out, count) == sum) << rows << " rows, eager";
        Graph graph(self.stream(), [&] {
          for (int i = 0; i < 10; ++i) enqueue();
        });
        for (int replay = 0; replay < kReplays; ++replay) graph.Launch();
        EXPECT_TRUE(self.Get(out, count) == sum) << rows << " rows, captured";
        ASSERT_CUDA(cudaFree(data));
        ASSERT_CUDA(cudaFree(out));
      }
    }
    EXPECT_TRUE(group->Check().ok());
  });
}

// A rank's parts, and the residual stream that their sums go into.
class ResidualSums {
 public:
  ResidualSums(Rank& self, PeerCommunicator& group, int rows)
      : self_(self), group_(group), rows_(rows), count_(static_cast<size_t>(rows) * kWidth) {
    std::mt19937 random(static_cast<unsigned>(self.rank()));
    std::normal_distribution<float> normal;
    std::vector<float> own(count_);
    for (float& value : own) value = normal(random);
    float* const data = Allocate(count_);
    self.Set(data, own);
    part_ = kernels::awq::WholeOutput(data, rows, kWidth);
    sum_ = Allocate(count_);
    auto* const weight = Allocate(kWidth / 2);
    EXPECT_EQ(cudaMemset(weight, 0x3f, kWidth * sizeof(__nv_bfloat16)), cudaSuccess);  // 0.746...
    norm_ = {.residual = Allocate(count_),
             .weight = reinterpret_cast<__nv_bfloat16*>(weight),
             .eps = 1e-6f,
             .out = reinterpret_cast<__nv_bfloat16*>(Allocate(count_ / 2)),
             .squares = Allocate(kernels::awq::kMaxScaledRows * kernels::awq::kRowParts)};
  }
  ~ResidualSums() {
    for (float* const memory : memory_) EXPECT_EQ(cudaFree(memory), cudaSuccess);
  }
  ResidualSums(const ResidualSums&) = delete;
  ResidualSums& operator=(const ResidualSums&) = delete;

  // False where it is not for this kernel.
  bool AddAndNorm() {
    const auto scale = group_.AllReduceScaledNorm(part_, norm_, self_.stream());
    EXPECT_TRUE(scale.ok()) << scale.status();
    return scale.ok() && scale->has_value();
  }
  // The same of the kernel that has a rank norm a row.
  bool AddAndNormByRows() {
    const auto taken = group_.AllReduceAddRmsNorm(
        {norm_.residual, &part_, norm_.weight, norm_.eps, rows_, kWidth, norm_.out},
        self_.stream());
    EXPECT_TRUE(taken.ok()) << taken.status();
    return taken.ok() && *taken;
  }
  // In the order of the ranks, as one kernel does; NCCL has an order of its own.
  void AddAndNormByTwoKernels() {
    EXPECT_TRUE(group_.AllReduceOn(AllReducePath::kTwoShot, part_, sum_, self_.stream()).ok());
    const auto delta = kernels::awq::WholeOutput(sum_, rows_, kWidth);
    EXPECT_TRUE(kernels::norm::RunAddRmsNorm(
                    {norm_.residual, &delta, norm_.weight, norm_.eps, rows_, kWidth, norm_.out},
                    self_.stream())
                    .ok());
  }

  void Restart() { self_.Set(norm_.residual, WholeNumbers(0, count_)); }
  std::vector<float> Residual() { return self_.Get(norm_.residual, count_); }
  std::vector<float> Normed() {
    std::vector<__nv_bfloat16> normed(count_);
    EXPECT_EQ(cudaStreamSynchronize(self_.stream()), cudaSuccess);
    EXPECT_EQ(cudaMemcpy(normed.data(), norm_.out, count_ * sizeof(__nv_bfloat16),
                         cudaMemcpyDeviceToHost),
              cudaSuccess);
    std::vector<float> floats;
    for (const __nv_bfloat16 value : normed) floats.push_back(__bfloat162float(value));
    return floats;
  }
  std::vector<float> NormedWithFactors() {
    constexpr auto kParts = static_cast<size_t>(kernels::awq::kRowParts);
    const std::vector<float> squares =
        self_.Get(norm_.squares, static_cast<size_t>(rows_) * kParts);
    std::vector<float> normed = Normed();
    for (size_t i = 0; i < count_; ++i) {
      const float* const parts = &squares[i / kWidth * kParts];
      const float sum = std::accumulate(parts, parts + kParts, 0.0f);
      normed[i] /= std::sqrt(sum / kWidth + norm_.eps);
    }
    return normed;
  }

 private:
  static constexpr int kWidth = 5120;

  float* Allocate(size_t floats) {
    memory_.push_back(self_.Allocate(floats));
    return memory_.back();
  }

  Rank& self_;
  PeerCommunicator& group_;
  const int rows_;
  const size_t count_;
  std::vector<float*> memory_;
  kernels::awq::LinearOutput part_;
  float* sum_ = nullptr;
  kernels::collective::ScaledNorm norm_;
};

// One after the other in a replayed graph, by the kernel that norms, too, and by two kernels. The
// residual is the same to the bit, however often it was added to.
TEST_P(NcclMultiGpuTest, SumsThatNormLeaveWhatTwoKernelsDo) {
  if (GetParam() == AllReduceMode::kNccl) GTEST_SKIP() << "two kernels are all there is";
  RunRanks([&](Rank& self) {
    const auto group = Meet(self, 0);
    auto& peers = dynamic_cast<PeerCommunicator&>(*group);
    if (!peers.has_peers()) return;
    const auto replay = [&self](const std::function<void()>& enqueue) {
      Graph graph(self.stream(), [&] {
        for (int i = 0; i < 10; ++i) enqueue();
      });
      for (int i = 0; i < kReplays; ++i) graph.Launch();
      EXPECT_EQ(cudaStreamSynchronize(self.stream()), cudaSuccess);
    };
    for (const int rows : kManyRows) {
      ResidualSums sums(self, peers, rows);
      sums.Restart();
      replay([&] { EXPECT_TRUE(sums.AddAndNormByRows()); });
      const std::vector<float> normed = sums.Normed();
      sums.Restart();
      replay([&] { sums.AddAndNormByTwoKernels(); });
      const std::vector<float> expected = sums.Normed();
      for (size_t i = 0; i < expected.size(); ++i) {
        ASSERT_NEAR(normed[i], expected[i], std::abs(expected[i]) / 128) << rows << " rows, " << i;
      }
    }
    int num_taken = 0;
    for (const int rows : kRows) {
      ResidualSums sums(self, peers, rows);
      sums.Restart();
      if (!sums.AddAndNorm()) continue;
      ++num_taken;
      sums.Restart();
      replay([&] { sums.AddAndNorm(); });
      const std::vector<float> residual = sums.Residual(), normed = sums.NormedWithFactors();
      sums.Restart();
      replay([&] { sums.AddAndNormByTwoKernels(); });
      EXPECT_TRUE(sums.Residual() == residual) << rows << " rows";
      const std::vector<float> expected = sums.Normed();
      for (size_t i = 0; i < expected.size(); ++i) {
        ASSERT_NEAR(normed[i], expected[i], std::abs(expected[i]) / 128) << rows << " rows, " << i;
      }
    }
    EXPECT_GT(num_taken, 0);
    EXPECT_TRUE(group->Check().ok());
  });
}

TEST_P(NcclMultiGpuTest, GathersAndBroadcastsInAGraphBesideSums) {
  RunRanks([&](Rank& self) {
    const auto group = Meet(self, 0);
    const auto world = static_cast<size_t>(self.world_size());
    constexpr size_t kCount = 4 * 18992;  // logits of four rows of an eighth of the vocabulary
    float* const local = self.Allocate(kCount);
    float* const all = self.Allocate(kCount * world);
    float* const ids = self.Allocate(4);
    float* const sum = self.Allocate(5120);
    const auto enqueue = [&] {
      float* const out = self.rank() == 0 ? all : nullptr;
      EXPECT_TRUE(group->AllReduceSum(sum, 5120, self.stream()).ok());
      EXPECT_TRUE(group->GatherToRoot(local, out, kCount, self.stream()).ok());
      EXPECT_TRUE(group->Broadcast(ids, 4 * sizeof(float), self.stream()).ok());
    };
    const auto own = WholeNumbers(self.rank(), kCount);
    const auto fill = [&] {
      self.Set(local, own);
      self.Set(sum, std::vector<float>(5120, 1.0f));
      self.Set(ids, std::vector<float>(4, static_cast<float>(self.rank() + 1)));
    };
    const auto check = [&] {
      EXPECT_EQ(self.Get(sum, 5120), std::vector<float>(5120, static_cast<float>(world)));
      EXPECT_EQ(self.Get(ids, 4), std::vector<float>(4, 1.0f));
      for (size_t rank = 0; self.rank() == 0 && rank < world; ++rank) {
        EXPECT_EQ(self.Get(all + rank * kCount, kCount),
                  WholeNumbers(static_cast<int>(rank), kCount));
      }
    };
    fill();
    enqueue();
    check();
    Graph graph(self.stream(), enqueue);
    for (int replay = 0; replay < 100; ++replay) {
      fill();
      graph.Launch();
      check();
    }
    EXPECT_TRUE(group->Check().ok());
  });
}

TEST_P(NcclMultiGpuTest, GroupsComeAndGo) {
  RunRanks([&](Rank& self) {
    float* const data = self.Allocate(5120);
    for (int cycle = 0; cycle < 10; ++cycle) {
      const auto group = Meet(self, cycle);
      self.Set(data, std::vector<float>(5120, 1.0f));
      EXPECT_TRUE(group->AllReduceSum(data, 5120, self.stream()).ok());
      EXPECT_EQ(self.Get(data, 1)[0], static_cast<float>(self.world_size())) << cycle;
    }
  });
}

TEST_P(NcclMultiGpuTest, AbortEndsACollectiveWhosePeersDoNotCome) {
  RunRanks([&](Rank& self) {
    const auto group = Meet(self, 0);
    // The end of such a process is its exit: nothing is destroyed.
    const auto leave = [] { std::_Exit(::testing::Test::HasFailure() ? 1 : 0); };
    if (self.rank() != 0) {
      texts_.Wait(1);  // alive, but never in the collective
      leave();
    }
    float* const data = self.Allocate(5120);
    EXPECT_TRUE(group->AllReduceSum(data, 5120, self.stream()).ok());
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    EXPECT_EQ(cudaStreamQuery(self.stream()), cudaErrorNotReady);
    group->Abort();
    EXPECT_EQ(cudaStreamSynchronize(self.stream()), cudaSuccess);
    EXPECT_EQ(group->AllReduceSum(data, 5120, self.stream()).code(), absl::StatusCode::kCancelled);
    texts_.Publish(1, "aborted");
    leave();
  });
}

TEST_P(NcclMultiGpuTest, AbortEndsAReplayedGraphWhosePeersDied) {
  RunRanks([&](Rank& self) {
    const auto group = Meet(self, 0);
    float* const data = self.Allocate(5120);
    Graph graph(self.stream(),
                [&] { EXPECT_TRUE(group->AllReduceSum(data, 5120, self.stream()).ok()); });
    graph.Launch();
    EXPECT_EQ(cudaStreamSynchronize(self.stream()), cudaSuccess);
    if (self.rank() != 0) std::_Exit(0);  // without a word
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
    graph.Launch();
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    EXPECT_EQ(cudaStreamQuery(self.stream()), cudaErrorNotReady);
    group->Abort();
    EXPECT_EQ(cudaStreamSynchronize(self.stream()), cudaSuccess);
    std::_Exit(::testing::Test::HasFailure() ? 1 : 0);
  });
}

TEST_P(NcclMultiGpuTest, PeerThatNeverComesIsAnErrorInTime) {
  RunRanks([&](Rank& self) {
    if (self.rank() != 0) return;
    auto library = NcclLibrary::Open();
    ASSERT_TRUE(library.ok()) << library.status();
    const auto id = NcclCommunicator::MakeUniqueId(**library);
    ASSERT_TRUE(id.ok()) << id.status();
    NcclOptions options;
    options.init_timeout = std::chrono::milliseconds(500);
    auto started = NcclCommunicator::Start(*library, *id, options);
    ASSERT_TRUE(started.ok()) << started.status();
    EXPECT_EQ((*started)->WaitReady().code(), absl::StatusCode::kDeadlineExceeded);
    std::_Exit(::testing::Test::HasFailure() ? 1 : 0);
  });
}

}  // namespace
}  // namespace sluice::worker

int main(int argc, char** argv) {
  for (const auto& entry : sluice::worker::kNcclEnvironment) setenv(entry.name, entry.value, 0);
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
