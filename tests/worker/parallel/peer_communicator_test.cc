// SPDX-License-Identifier: Apache-2.0
// Sums over peer memory beside a stand-in of NCCL, on the emulator, ranks as threads: meeting, the
// choice of the way, what happens where GPUs do not reach each other, and aborts.
#include "worker/parallel/peer_communicator.h"

#include <cuda_runtime_api.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <barrier>
#include <cmath>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "kernels/norm/add_rms_norm.h"
#include "tests/cuda_emulation/settings.h"
#include "tests/support/opened_fake_nccl.h"
#include "worker/parallel/nccl_communicator.h"
#include "worker/parallel/nccl_library.h"

namespace sluice::worker {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

// What a rank's thread has.
struct Rank {
  PeerCommunicator& group;
  cudaStream_t stream;
  float* data;

  std::vector<float> Get(size_t count) const {
    std::vector<float> values(count);
    EXPECT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
    EXPECT_EQ(cudaMemcpy(values.data(), data, count * sizeof(float), cudaMemcpyDeviceToHost),
              cudaSuccess);
    return values;
  }
  void Set(const std::vector<float>& values) const {
    EXPECT_EQ(
        cudaMemcpy(data, values.data(), values.size() * sizeof(float), cudaMemcpyHostToDevice),
        cudaSuccess);
  }
};

class PeerCommunicatorTest : public ::testing::Test {
 protected:
  static constexpr size_t kFloats = (size_t{4} << 20) + 4;  // more than peers sum by themselves

  PeerCommunicatorTest() {
    cuda_emulation::TheSettings().num_devices = 8;
    OpenedFakeNccl().Reset();
  }
  ~PeerCommunicatorTest() override { cuda_emulation::TheSettings().peer_access = true; }

  void Run(
      int world_size, AllReduceMode mode, const std::function<void(const Rank&)>& body,
      const std::function<void(const absl::Status&)>& ready = [](const absl::Status& status) {
        EXPECT_TRUE(status.ok()) << status;
      }) {
    auto library = NcclLibrary::OpenAnyOf({SLUICE_FAKE_NCCL});
    ASSERT_TRUE(library.ok()) << library.status();
    const auto id = NcclCommunicator::MakeUniqueId(**library);
    ASSERT_TRUE(id.ok());
    std::barrier all_ready(world_size);
    std::vector<std::thread> threads;
    for (int rank = 0; rank < world_size; ++rank) {
      threads.emplace_back([&, rank] {
        const int device = world_size - 1 - rank;
        EXPECT_EQ(cudaSetDevice(device), cudaSuccess);
        NcclOptions options;
        options.rank = rank;
        options.world_size = world_size;
        options.device = device;
        auto nccl = NcclCommunicator::Start(*library, *id, options);
        ASSERT_TRUE(nccl.ok()) << nccl.status();
        PeerCommunicator group(*std::move(nccl),
                               {.mode = mode, .buffer_bytes = int64_t{1} << 20, .device = device});
        ready(group.WaitReady());
        Rank self = {group, nullptr, nullptr};
        EXPECT_EQ(cudaStreamCreateWithFlags(&self.stream, cudaStreamNonBlocking), cudaSuccess);
        EXPECT_EQ(cudaMalloc(reinterpret_cast<void**>(&self.data), kFloats * sizeof(float)),
                  cudaSuccess);
        all_ready.arrive_and_wait();
        body(self);
        all_ready.arrive_and_wait();
        if (!group.Check().ok()) return;  // aborted: nothing is destroyed in order
        EXPECT_EQ(cudaStreamDestroy(self.stream), cudaSuccess);
        EXPECT_EQ(cudaFree(self.data), cudaSuccess);
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
};

std::vector<float> ValuesOf(int rank, size_t count) {
  std::mt19937 random(static_cast<unsigned>(rank) + 1);
  std::vector<float> values(count);
  for (float& value : values) value = static_cast<float>(static_cast<int32_t>(random())) * 0x1p-30f;
  return values;
}

std::vector<float> SumInRankOrder(int world_size, size_t count) {
  std::vector<float> sum = ValuesOf(0, count);
  for (int rank = 1; rank < world_size; ++rank) {
    const std::vector<float> values = ValuesOf(rank, count);
    for (size_t i = 0; i < count; ++i) sum[i] += values[i];
  }
  return sum;
}

std::string AllReduceCall(size_t count) { return "AllReduce " + std::to_string(count); }

TEST_F(PeerCommunicatorTest, SmallSumsGoOverPeerMemoryAndLargeOnesThroughNccl) {
  for (const int world : {2, 4, 8}) {
    OpenedFakeNccl().Reset();
    Run(world, AllReduceMode::kAuto, [world](const Rank& self) {
      EXPECT_TRUE(self.group.has_peers()) << self.group.Describe();
      EXPECT_THAT(self.group.Describe(), HasSubstr("peer memory"));
      for (const size_t count : {size_t{4}, size_t{5120}, size_t{20'000}, size_t{5121}, kFloats}) {
        self.Set(ValuesOf(self.group.rank(), count));
        const absl::Status status =
            self.group.AllReduceSum(self.data, static_cast<int64_t>(count), self.stream);
        EXPECT_TRUE(status.ok()) << status;
        const std::vector<float> got = self.Get(count);
        EXPECT_TRUE(got == SumInRankOrder(world, count)) << world << " ranks, " << count;
      }
    });
    EXPECT_THAT(OpenedFakeNccl().Calls(0), Contains(AllReduceCall(kFloats))) << "too large";
    EXPECT_THAT(OpenedFakeNccl().Calls(0), Contains(AllReduceCall(5121))) << "no multiple of 4";
    EXPECT_THAT(OpenedFakeNccl().Calls(0), Not(Contains(AllReduceCall(5120))));
    EXPECT_THAT(OpenedFakeNccl().Calls(0), Not(Contains(AllReduceCall(20'000))));
    EXPECT_THAT(OpenedFakeNccl().Calls(0), Contains("Destroy")) << "a good end";
  }
}

TEST_F(PeerCommunicatorTest, SumsWhatALinearLeftInPieces) {
  for (const AllReduceMode mode : {AllReduceMode::kNccl, AllReduceMode::kAuto}) {
    Run(2, mode, [](const Rank& self) {
      kernels::awq::LinearOutput part;
      part.rows = 2;
      part.outputs = 64;
      part.plan = kernels::awq::MakeSplitPlan(64, 256, /*slices=*/2, 1000, 64);
      constexpr size_t kCount = 128;
      ASSERT_EQ(part.plan.PartialFloats(2, 64), 2 * int64_t{kCount});
      std::vector<float> pieces(2 * kCount);
      for (size_t i = 0; i < pieces.size(); ++i) {
        pieces[i] = static_cast<float>(i) + static_cast<float>(1000 * self.group.rank());
      }
      self.Set(pieces);
      part.partials = self.data;
      float* const out = self.data + 2 * kCount;
      const absl::Status status = self.group.AllReduceLinear(part, out, self.stream);
      ASSERT_TRUE(status.ok()) << status;
      const std::vector<float> got = self.Get(3 * kCount);
      for (size_t i = 0; i < kCount; ++i) {
        EXPECT_EQ(got[2 * kCount + i], static_cast<float>(4 * i + 2 * kCount + 2000)) << i;
      }
    });
  }
}

// What a sum into the residual takes, in a rank's data: pieces of a part, residual, weight, sum,
// outputs. The same residual and weight on all ranks.
struct NormedSum {
  static constexpr int kWidth = 520;
  static constexpr float kEps = 1e-6f;
  static constexpr int kMostFloats = 500'000;

  NormedSum(const Rank& rank, int num_rows) : self(rank), rows(num_rows), count(Count(num_rows)) {
    part.rows = rows;
    part.outputs = kWidth;
    part.plan = kernels::awq::MakeSplitPlan(kWidth, 256, /*slices=*/2, 1000, kWidth);
    EXPECT_EQ(part.plan.PartialFloats(rows, kWidth), 2 * static_cast<int64_t>(count));
    std::vector<float> values = ValuesOf(self.group.rank(), 2 * count);
    start = ValuesOf(100, count);
    values.insert(values.end(), start.begin(), start.end());
    part.partials = self.data;
    norm.residual = self.data + 2 * count;
    sum = norm.residual + count;
    norm.squares = sum + count;
    float* const behind = norm.squares + kernels::awq::kMaxScaledRows * kernels::awq::kRowParts;
    norm.out = reinterpret_cast<__nv_bfloat16*>(behind);
    std::vector<__nv_bfloat16> weights;
    for (const float weight : ValuesOf(101, kWidth)) weights.push_back(__float2bfloat16(weight));
    // Where no kernel of any number of rows writes: it is read as a constant.
    auto* const weight = reinterpret_cast<__nv_bfloat16*>(self.data + kMostFloats);
    norm.weight = weight;
    norm.eps = kEps;
    self.Set(values);
    EXPECT_EQ(cudaMemcpy(weight, weights.data(), weights.size() * sizeof(__nv_bfloat16),
                         cudaMemcpyHostToDevice),
              cudaSuccess);
  }
  static size_t Count(int rows) { return static_cast<size_t>(rows) * kWidth; }

  void Reset() const {
    EXPECT_EQ(
        cudaMemcpy(norm.residual, start.data(), count * sizeof(float), cudaMemcpyHostToDevice),
        cudaSuccess);
  }
  std::vector<float> Residual() const {
    EXPECT_EQ(cudaStreamSynchronize(self.stream), cudaSuccess);
    return {norm.residual, norm.residual + count};  // the emulator's memory is the host's
  }
  // By the two kernels.
  void Run() const {
    EXPECT_TRUE(self.group.AllReduceLinear(part, sum, self.stream).ok());
    const auto delta = kernels::awq::WholeOutput(sum, rows, kWidth);
    EXPECT_TRUE(kernels::norm::RunAddRmsNorm({.residual = norm.residual,
                                              .delta = &delta,
                                              .weight = norm.weight,
                                              .eps = kEps,
                                              .rows = rows,
                                              .width = kWidth,
                                              .out = norm.out},
                                             self.stream)
                    .ok());
  }
  kernels::norm::AddRmsNorm WholeNorm() const {
    return {.residual = norm.residual,
            .delta = &part,
            .weight = norm.weight,
            .eps = norm.eps,
            .rows = rows,
            .width = kWidth,
            .out = norm.out};
  }
  // What a linear would read of it, were its weights those of one output.
  std::vector<float> Normed(const kernels::awq::RowScale& scale) const {
    EXPECT_EQ(cudaStreamSynchronize(self.stream), cudaSuccess);
    std::vector<float> normed;
    for (size_t i = 0; i < count; ++i) {
      float factor = 1.0f;
      if (scale.squares != nullptr) {
        float squares = 0.0f;
        for (size_t k = 0; k < kernels::awq::kRowParts; ++k) {
          squares += scale.squares[i / kWidth * kernels::awq::kRowParts + k];
        }
        factor = 1.0f / std::sqrt(squares / static_cast<float>(scale.width) + scale.eps);
      }
      normed.push_back(__bfloat162float(norm.out[i]) * factor);
    }
    return normed;
  }

  const Rank& self;
  const int rows;
  const size_t count;
  kernels::awq::LinearOutput part;
  kernels::collective::ScaledNorm norm;
  std::vector<float> start;  // of the residual
  float* sum = nullptr;
};

TEST_F(PeerCommunicatorTest, OneKernelAddsAndNormsAsTwoDo) {
  for (const int world : {2, 4, 8}) {
    Run(world, AllReduceMode::kAuto, [](const Rank& self) {
      for (const int rows : {1, 2, 4}) {
        const NormedSum one(self, rows);
        one.Run();
        const std::vector<float> residual = one.Residual(), normed = one.Normed({});
        one.Reset();
        const auto scale = self.group.AllReduceScaledNorm(one.part, one.norm, self.stream);
        ASSERT_TRUE(scale.ok()) << scale.status();
        ASSERT_TRUE(scale->has_value());
        EXPECT_TRUE(one.Residual() == residual) << rows << " rows";
        const std::vector<float> scaled = one.Normed(**scale);
        for (size_t i = 0; i < scaled.size(); ++i) {
          ASSERT_NEAR(scaled[i], normed[i], std::abs(normed[i]) / 128) << i;
        }
      }
    });
  }
}

TEST_F(PeerCommunicatorTest, RanksNormAShareOfTheRowsEach) {
  const auto check = [](const Rank& self, int rows) {
    const NormedSum one(self, rows);
    one.Run();
    const std::vector<float> residual = one.Residual(), normed = one.Normed({});
    one.Reset();
    self.group.PreferNormPath(NormPath::kByRows);
    const auto scale = self.group.AllReduceScaledNorm(one.part, one.norm, self.stream);
    ASSERT_TRUE(scale.ok()) << scale.status();
    EXPECT_FALSE(scale->has_value());
    const auto taken = self.group.AllReduceAddRmsNorm(one.WholeNorm(), self.stream);
    ASSERT_TRUE(taken.ok()) << taken.status();
    ASSERT_TRUE(*taken);
    const std::vector<float> by_rows = one.Normed({}), own = one.Residual();
    size_t added = 0;
    for (size_t i = 0; i < by_rows.size(); ++i) {
      ASSERT_NEAR(by_rows[i], normed[i], std::abs(normed[i]) / 128) << i;
      ASSERT_TRUE(own[i] == residual[i] || own[i] == one.start[i]) << i;
      added += own[i] == residual[i] ? 1 : 0;
    }
    EXPECT_GE(added, one.count / 8 / 2) << "its own rows'";
    EXPECT_LT(added, one.count / 4 * 3);
  };
  Run(2, AllReduceMode::kAuto, [&](const Rank& self) { check(self, 129); });
  Run(8, AllReduceMode::kAuto, [&](const Rank& self) { check(self, 60); });
}

TEST_F(PeerCommunicatorTest, OtherSumsAreLeftToTwoKernels) {
  const auto refuses = [](const Rank& self, int rows) {
    const NormedSum one(self, rows);
    const auto scale = self.group.AllReduceScaledNorm(one.part, one.norm, self.stream);
    ASSERT_TRUE(scale.ok()) << scale.status();
    EXPECT_FALSE(scale->has_value()) << rows << " rows";
    const auto taken = self.group.AllReduceAddRmsNorm(one.WholeNorm(), self.stream);
    ASSERT_TRUE(taken.ok()) << taken.status();
    EXPECT_FALSE(*taken) << rows << " rows";
    EXPECT_TRUE(one.Residual() == one.start) << "nothing was enqueued";
  };
  Run(2, AllReduceMode::kNccl, [&](const Rank& self) { refuses(self, 1); });
  // More rows than blocks that run at once, on any rank, and few bytes.
  auto& settings = cuda_emulation::TheSettings();
  const int num_sms = settings.num_sms;
  Run(2, AllReduceMode::kAuto, [&](const Rank& self) { refuses(self, num_sms + 1); });
  settings.fewer_sms_each = 1;
  Run(2, AllReduceMode::kAuto, [&](const Rank& self) { refuses(self, num_sms); });
  settings.fewer_sms_each = 0;
  Run(8, AllReduceMode::kAuto, [&](const Rank& self) {
    self.group.PreferNormPath(NormPath::kApart);
    refuses(self, 1);
  });
  cuda_emulation::TheSettings().peer_access = false;
  Run(2, AllReduceMode::kAuto, [&](const Rank& self) { refuses(self, 1); });
}

TEST_F(PeerCommunicatorTest, GraphsReplayBesideOtherCollectives) {
  Run(4, AllReduceMode::kAuto, [](const Rank& self) {
    constexpr size_t kCount = 256;
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t exec = nullptr;
    ASSERT_EQ(cudaStreamBeginCapture(self.stream, cudaStreamCaptureModeThreadLocal), cudaSuccess);
    for (int i = 0; i < 5; ++i) {
      EXPECT_TRUE(self.group.AllReduceSum(self.data, kCount, self.stream).ok());
      EXPECT_TRUE(self.group.Broadcast(self.data, kCount * sizeof(float), self.stream).ok());
    }
    ASSERT_EQ(cudaStreamEndCapture(self.stream, &graph), cudaSuccess);
    ASSERT_EQ(cudaGraphInstantiate(&exec, graph, 0), cudaSuccess);
    for (int replay = 0; replay < 10; ++replay) {
      self.Set(std::vector<float>(kCount, 1.0f));
      ASSERT_EQ(cudaGraphLaunch(exec, self.stream), cudaSuccess);
      EXPECT_EQ(self.Get(kCount), std::vector<float>(kCount, 1024.0f));  // 4^5
    }
    EXPECT_EQ(cudaGraphExecDestroy(exec), cudaSuccess);
    EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
  });
}

TEST_F(PeerCommunicatorTest, WithoutPeerAccessAllGoesThroughNccl) {
  cuda_emulation::TheSettings().peer_access = false;
  Run(2, AllReduceMode::kAuto, [](const Rank& self) {
    EXPECT_FALSE(self.group.has_peers());
    EXPECT_THAT(self.group.Describe(), HasSubstr("does not reach the memory of"));
    self.Set(ValuesOf(self.group.rank(), 64));
    EXPECT_TRUE(self.group.AllReduceSum(self.data, 64, self.stream).ok());
    EXPECT_EQ(self.Get(64), SumInRankOrder(2, 64));
    const auto part = kernels::awq::WholeOutput(self.data, 1, 64);
    EXPECT_EQ(self.group.AllReduceOn(AllReducePath::kOneShot, part, self.data, self.stream).code(),
              absl::StatusCode::kFailedPrecondition);
  });
  EXPECT_THAT(OpenedFakeNccl().Calls(0), Contains(AllReduceCall(64)));
}

TEST_F(PeerCommunicatorTest, WhoeverInsistsOnPeerMemoryIsToldWhyNot) {
  cuda_emulation::TheSettings().peer_access = false;
  Run(
      2, AllReduceMode::kPeer, [](const Rank&) {},
      [](const absl::Status& status) {
        EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
        EXPECT_THAT(std::string(status.message()), HasSubstr("--all-reduce peer: "));
      });
}

TEST_F(PeerCommunicatorTest, OtherNumbersOfRanksGoThroughNccl) {
  Run(3, AllReduceMode::kAuto, [](const Rank& self) {
    EXPECT_FALSE(self.group.has_peers());
    self.Set(std::vector<float>(4, 1.0f));
    EXPECT_TRUE(self.group.AllReduceSum(self.data, 4, self.stream).ok());
    EXPECT_EQ(self.Get(4), std::vector<float>(4, 3.0f));
  });
}

TEST_F(PeerCommunicatorTest, AbortEndsASumWhosePeerIsMissing) {
  Run(2, AllReduceMode::kAuto, [](const Rank& self) {
    if (self.group.rank() == 1) return self.group.Abort();
    ASSERT_TRUE(self.group.AllReduceSum(self.data, 1024, self.stream).ok());
    EXPECT_EQ(cudaStreamQuery(self.stream), cudaErrorNotReady);
    std::thread([&] { self.group.Abort(); }).join();
    EXPECT_EQ(cudaStreamSynchronize(self.stream), cudaSuccess);
    EXPECT_EQ(self.group.Check().code(), absl::StatusCode::kCancelled);
    EXPECT_EQ(self.group.AllReduceSum(self.data, 1024, self.stream).code(),
              absl::StatusCode::kCancelled);
    const NormedSum one(self, 1);
    EXPECT_EQ(self.group.AllReduceScaledNorm(one.part, one.norm, self.stream).status().code(),
              absl::StatusCode::kCancelled);
    self.group.PreferNormPath(NormPath::kByRows);
    EXPECT_EQ(self.group.AllReduceAddRmsNorm(one.WholeNorm(), self.stream).status().code(),
              absl::StatusCode::kCancelled);
  });
}

TEST(AllReducePathTest, IsAFunctionOfTheSize) {
  constexpr int64_t kBuffer = int64_t{16} << 20;
  using enum AllReducePath;
  const auto choose = [](AllReduceMode mode, int world, int64_t count) {
    return ChooseAllReducePath(mode, world, count, kBuffer);
  };
  constexpr int64_t kRow = 5120, kFourMillion = int64_t{4} << 20;
  EXPECT_EQ(choose(AllReduceMode::kAuto, 2, 128 * kRow), kOneShot);
  EXPECT_EQ(choose(AllReduceMode::kAuto, 2, 129 * kRow), kTwoShot);
  EXPECT_EQ(choose(AllReduceMode::kAuto, 4, 12 * kRow), kOneShot);
  EXPECT_EQ(choose(AllReduceMode::kAuto, 4, 32 * kRow), kTwoShot);
  EXPECT_EQ(choose(AllReduceMode::kAuto, 8, 4 * kRow), kOneShot);
  EXPECT_EQ(choose(AllReduceMode::kAuto, 8, 8 * kRow), kTwoShot);
  for (const int world : {2, 4, 8}) {
    EXPECT_EQ(choose(AllReduceMode::kAuto, world, 5120), kOneShot);
    EXPECT_EQ(choose(AllReduceMode::kAuto, world, kFourMillion), kTwoShot);
    EXPECT_EQ(choose(AllReduceMode::kAuto, world, kFourMillion + 4), kNccl);
    EXPECT_EQ(choose(AllReduceMode::kAuto, world, 8192 * 5120), kNccl);
    EXPECT_EQ(choose(AllReduceMode::kNccl, world, 5120), kNccl);
    EXPECT_EQ(choose(AllReduceMode::kAuto, world, 5121), kNccl) << "no multiple of 4";
    EXPECT_EQ(choose(AllReduceMode::kPeer, world, 8192 * 5120), kTwoShot) << "in turns";
  }
  EXPECT_EQ(choose(AllReduceMode::kAuto, 3, 5120), kNccl);
  EXPECT_EQ(choose(AllReduceMode::kPeer, 2, int64_t{1} << 31), kNccl) << "more than an int counts";
  // One-shot sums fit, also small buffers.
  for (const int world : {2, 4, 8}) {
    for (int64_t count = 4; count < int64_t{16} << 20; count *= 2) {
      for (const int64_t buffer : {int64_t{1} << 16, kBuffer}) {
        if (ChooseAllReducePath(AllReduceMode::kPeer, world, count, buffer) != kOneShot) continue;
        EXPECT_LE(count * world * 4, buffer);
      }
    }
    EXPECT_EQ(ChooseAllReducePath(AllReduceMode::kPeer, world, 8, 16), kNccl) << "no buffers";
  }
}

TEST(NormPathTest, IsAFunctionOfTheShape) {
  constexpr int64_t kBuffer = int64_t{64} << 20;
  using enum NormPath;
  NormedSumShape shape = {
      .world_size = 2, .rows = 0, .width = 5120, .num_sms = 132, .buffer_bytes = kBuffer};
  const auto choose = [&](int world, int rows, AllReduceMode mode = AllReduceMode::kAuto) {
    shape.world_size = world;
    shape.rows = rows;
    return ChooseNormPath(mode, shape);
  };
  for (const int world : {2, 4, 8}) {
    EXPECT_EQ(choose(world, 1), kScaled);
    EXPECT_EQ(choose(world, 256), kByRows);
    EXPECT_EQ(choose(world, 100'000), kByRows) << "in turns";
    EXPECT_EQ(choose(world, 1, AllReduceMode::kNccl), kApart);
    EXPECT_EQ(choose(world, 256, AllReduceMode::kNccl), kApart);
    EXPECT_EQ(choose(world, 500'000), kApart) << "more than an int counts";
  }
  EXPECT_EQ(choose(2, 111), kScaled);
  EXPECT_EQ(choose(2, 112), kScaled);
  EXPECT_EQ(choose(2, 113), kByRows);
  EXPECT_EQ(choose(4, 27), kScaled);
  EXPECT_EQ(choose(4, 28), kApart);
  EXPECT_EQ(choose(4, 50), kByRows);
  EXPECT_EQ(choose(8, 7), kScaled);
  EXPECT_EQ(choose(8, 8), kApart);
  EXPECT_EQ(choose(8, 53), kByRows);
  EXPECT_EQ(choose(3, 1), kApart);
  const NormedSumShape fits = {
      .world_size = 4, .rows = 100, .width = 5120, .num_sms = 132, .buffer_bytes = kBuffer};
  const auto prefer = [&](NormPath path, auto change) {
    NormedSumShape changed = fits;
    change(changed);
    return ChooseNormPath(AllReduceMode::kAuto, changed, path);
  };
  const auto no_change = [](NormedSumShape&) {};
  for (const NormPath path : {kApart, kScaled, kByRows}) EXPECT_EQ(prefer(path, no_change), path);
  EXPECT_EQ(prefer(kScaled, [](NormedSumShape& of) { of.num_sms = 99; }), kApart);
  EXPECT_EQ(prefer(kScaled, [](NormedSumShape& of) { of.rows = 129; }), kApart);
  EXPECT_EQ(prefer(kScaled, [](NormedSumShape& of) { of.buffer_bytes = 1 << 20; }), kApart);
  EXPECT_EQ(prefer(kByRows, [](NormedSumShape& of) { of.width = 5124; }), kApart);
  EXPECT_EQ(prefer(kByRows, [](NormedSumShape& of) { of.buffer_bytes = 1 << 16; }), kApart);
}

}  // namespace
}  // namespace sluice::worker
