// SPDX-License-Identifier: Apache-2.0
// The library and the communicator against a library of NCCL's interface that runs on the emulator:
// loading, the order of calls, meeting, ends good and bad. What NCCL itself computes is the
// multi_gpu tests' matter.
#include "worker/parallel/nccl_communicator.h"

#include <cuda_runtime_api.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <barrier>
#include <chrono>
#include <functional>
#include <future>
#include <memory>
#include <thread>
#include <vector>

#include "tests/cuda_emulation/settings.h"
#include "tests/support/opened_fake_nccl.h"
#include "worker/parallel/device_group.h"
#include "worker/parallel/nccl_library.h"

namespace sluice::worker {
namespace {

using std::chrono::milliseconds;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

std::shared_ptr<const NcclLibrary> Library() {
  auto library = NcclLibrary::OpenAnyOf({SLUICE_FAKE_NCCL});
  EXPECT_TRUE(library.ok()) << library.status();
  return *library;
}

class NcclTest : public ::testing::Test {
 protected:
  NcclTest() {
    cuda_emulation::TheSettings().num_devices = 4;
    OpenedFakeNccl().Reset();
  }
};

class NcclLibraryTest : public NcclTest {};

TEST_F(NcclLibraryTest, TakesTheFirstThatLoads) {
  const auto library =
      NcclLibrary::OpenAnyOf({"libno-such.so.2", "/no/such/libnccl.so.2", SLUICE_FAKE_NCCL});
  ASSERT_TRUE(library.ok()) << library.status();
  EXPECT_EQ((*library)->file(), SLUICE_FAKE_NCCL);
  EXPECT_EQ((*library)->version(), 22803);
}

TEST_F(NcclLibraryTest, SaysInOneSentenceWhatWasTried) {
  const auto library =
      NcclLibrary::OpenAnyOf({"libno-such.so.2", "/no/such/libnccl.so.2", "/dev/null"});
  EXPECT_EQ(library.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(library.status().message()),
              AllOf(HasSubstr("need NCCL (libnccl.so.2)"),
                    HasSubstr("tried: libno-such.so.2, /no/such/libnccl.so.2, /dev/null ("),
                    HasSubstr("LD_LIBRARY_PATH"), Not(HasSubstr("\n"))));
}

TEST_F(NcclLibraryTest, NamesTheUsualPlaces) {
  const auto library = NcclLibrary::Open();
  if (library.ok()) GTEST_SKIP() << "NCCL is installed here: " << (*library)->file();
  EXPECT_THAT(std::string(library.status().message()),
              AllOf(HasSubstr("libnccl.so.2, "), HasSubstr("/usr/local/cuda/lib64/libnccl.so.2")));
}

TEST_F(NcclLibraryTest, RefusesAnotherLibrary) {
  const auto library = NcclLibrary::OpenAnyOf({"libm.so.6"});
  EXPECT_EQ(library.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(library.status().message()), HasSubstr("libm.so.6 has no nccl"));
}

TEST_F(NcclLibraryTest, RefusesAnOldOne) {
  OpenedFakeNccl().set_version(21706);
  const auto library = NcclLibrary::OpenAnyOf({SLUICE_FAKE_NCCL});
  EXPECT_EQ(library.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(library.status().message()),
              AllOf(HasSubstr("21706"), HasSubstr("2.18")));
}

TEST_F(NcclLibraryTest, ErrorsNameTheCallAndTheLastWords) {
  const absl::Status status = Library()->ToStatus(nccl::kInvalidUsage, "ncclSend");
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_EQ(status.message(), "ncclSend: invalid usage (the fake's last words)");
}

NcclOptions OptionsOf(int rank, int world_size) {
  NcclOptions options;
  options.rank = rank;
  options.world_size = world_size;
  options.device = world_size - 1 - rank;  // another number than the rank's
  options.init_timeout = std::chrono::minutes(1);
  return options;
}

// Aborts go on behind the back of the one who calls.
void AwaitCall(int rank, const std::string& call) {
  const auto until = std::chrono::steady_clock::now() + std::chrono::minutes(1);
  while (std::chrono::steady_clock::now() < until) {
    const std::vector<std::string> calls = OpenedFakeNccl().Calls(rank);
    if (std::find(calls.begin(), calls.end(), call) != calls.end()) return;
    std::this_thread::yield();
  }
  FAIL() << call << " of rank " << rank << " never came";
}

std::string UniqueId() {
  const auto id = NcclCommunicator::MakeUniqueId(*Library());
  EXPECT_TRUE(id.ok()) << id.status();
  EXPECT_EQ(id->size(), 128u);
  return *id;
}

std::unique_ptr<NcclCommunicator> Start(const std::string& id, const NcclOptions& options) {
  auto communicator = NcclCommunicator::Start(Library(), id, options);
  EXPECT_TRUE(communicator.ok()) << communicator.status();
  return std::move(*communicator);
}

// One rank: its device, a stream and device memory that the host can read.
struct RankDevice {
  explicit RankDevice(int device, size_t floats = 64) {
    EXPECT_EQ(cudaSetDevice(device), cudaSuccess);
    EXPECT_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
    EXPECT_EQ(cudaMalloc(reinterpret_cast<void**>(&data), floats * sizeof(float)), cudaSuccess);
  }
  ~RankDevice() {
    cudaStreamDestroy(stream);
    cudaFree(data);
  }
  void Set(const std::vector<float>& values) {
    EXPECT_EQ(
        cudaMemcpy(data, values.data(), values.size() * sizeof(float), cudaMemcpyHostToDevice),
        cudaSuccess);
  }
  std::vector<float> Get(size_t count, size_t first = 0) {
    std::vector<float> values(count);
    EXPECT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
    EXPECT_EQ(
        cudaMemcpy(values.data(), data + first, count * sizeof(float), cudaMemcpyDeviceToHost),
        cudaSuccess);
    return values;
  }
  cudaStream_t stream = nullptr;
  float* data = nullptr;
};

using RankBody = std::function<void(NcclCommunicator&, RankDevice&)>;

void RunRanks(int world_size, const RankBody& body) {
  const std::string id = UniqueId();
  std::barrier all_ready(world_size);
  std::vector<std::thread> threads;
  for (int rank = 0; rank < world_size; ++rank) {
    threads.emplace_back([&, rank] {
      const NcclOptions options = OptionsOf(rank, world_size);
      RankDevice device(options.device);
      const auto communicator = Start(id, options);
      const absl::Status ready = communicator->WaitReady();
      EXPECT_TRUE(ready.ok()) << ready;
      all_ready.arrive_and_wait();
      EXPECT_EQ(communicator->rank(), rank);
      EXPECT_EQ(communicator->world_size(), world_size);
      body(*communicator, device);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

class NcclCommunicatorTest : public NcclTest {};

TEST_F(NcclCommunicatorTest, ReadyMeansThatOneOfEachCollectiveWorked) {
  RunRanks(2, [](NcclCommunicator&, RankDevice&) {});
  EXPECT_THAT(OpenedFakeNccl().Calls(0), ElementsAre("Init 2 device 1", "Recv 1 from 1", "GroupEnd",
                                                     "AllReduce 1", "Broadcast 4", "Destroy"));
  EXPECT_THAT(OpenedFakeNccl().Calls(1),
              ElementsAre("Init 2 device 0", "Send 1", "AllReduce 1", "Broadcast 4", "Destroy"));
}

TEST_F(NcclCommunicatorTest, CollectivesComputeAndReplay) {
  for (const int world : {2, 3, 4}) {
    RunRanks(world, [world](NcclCommunicator& communicator, RankDevice& device) {
      const auto own = static_cast<float>(communicator.rank() + 1);
      // [0, 2): operands; [2, 3): broadcast; [4, ...): gathered
      const auto enqueue = [&] {
        float* const out = communicator.rank() == 0 ? device.data + 4 : nullptr;
        ASSERT_TRUE(communicator.GatherToRoot(device.data, out, 2, device.stream).ok());
        ASSERT_TRUE(communicator.AllReduceSum(device.data, 2, device.stream).ok());
        ASSERT_TRUE(communicator.Broadcast(device.data + 2, 4, device.stream).ok());
      };
      const auto check = [&] {
        const float sum = static_cast<float>(world * (world + 1)) / 2;
        EXPECT_THAT(device.Get(3), ElementsAre(sum, -sum, 1.0f));
        for (int rank = 0; communicator.rank() == 0 && rank < world; ++rank) {
          const auto value = static_cast<float>(rank + 1);
          EXPECT_THAT(device.Get(2, 4 + 2 * static_cast<size_t>(rank)), ElementsAre(value, -value));
        }
        EXPECT_TRUE(communicator.Check().ok());
      };
      device.Set({own, -own, own});
      enqueue();
      check();

      cudaGraph_t graph = nullptr;
      cudaGraphExec_t exec = nullptr;
      ASSERT_EQ(cudaStreamBeginCapture(device.stream, cudaStreamCaptureModeThreadLocal),
                cudaSuccess);
      enqueue();
      ASSERT_EQ(cudaStreamEndCapture(device.stream, &graph), cudaSuccess);
      ASSERT_EQ(cudaGraphInstantiate(&exec, graph, 0), cudaSuccess);
      for (int replay = 0; replay < 3; ++replay) {
        device.Set({own, -own, own});
        ASSERT_EQ(cudaGraphLaunch(exec, device.stream), cudaSuccess);
        check();
      }
      EXPECT_EQ(cudaGraphExecDestroy(exec), cudaSuccess);
      EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
    });
  }
}

TEST_F(NcclCommunicatorTest, GathersInPlaceAndSkipsWhatIsEmpty) {
  RunRanks(2, [](NcclCommunicator& communicator, RankDevice& device) {
    const bool root = communicator.rank() == 0;
    device.Set({static_cast<float>(communicator.rank() + 5), 0.0f});
    ASSERT_TRUE(communicator.AllReduceSum(device.data, 0, device.stream).ok());
    ASSERT_TRUE(communicator.Broadcast(device.data, 0, device.stream).ok());
    ASSERT_TRUE(communicator.GatherToRoot(device.data, device.data, 0, device.stream).ok());
    ASSERT_TRUE(
        communicator.GatherToRoot(device.data, root ? device.data : nullptr, 1, device.stream)
            .ok());
    const std::vector<float> values = device.Get(2);
    if (root) {
      EXPECT_THAT(values, ElementsAre(5.0f, 6.0f));
    }
  });
  EXPECT_THAT(OpenedFakeNccl().Calls(1), ElementsAre("Init 2 device 0", "Send 1", "AllReduce 1",
                                                     "Broadcast 4", "Send 1", "Destroy"));
}

TEST_F(NcclCommunicatorTest, WhatCannotBeRightIsRefusedAtOnce) {
  const auto library = Library();
  const std::string id = UniqueId();
  EXPECT_EQ(NcclCommunicator::Start(library, id, OptionsOf(2, 2)).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(NcclCommunicator::Start(library, id, OptionsOf(0, 1)).status().code(),
            absl::StatusCode::kInvalidArgument);
  const absl::Status length = NcclCommunicator::Start(library, "short", OptionsOf(0, 2)).status();
  EXPECT_EQ(length.message(), "a group's NCCL id has 128 bytes, not 5");
}

TEST_F(NcclCommunicatorTest, PeerThatNeverComesIsAnErrorInTime) {
  NcclOptions options = OptionsOf(0, 2);
  options.init_timeout = milliseconds(20);
  const auto communicator = Start(UniqueId(), options);
  const absl::Status status = communicator->WaitReady();
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(status.message(), "rank 0 of 2 waited 20 ms for the others to meet through NCCL");
  EXPECT_EQ(communicator->AllReduceSum(nullptr, 1, nullptr).code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(communicator->WaitReady().code(), absl::StatusCode::kCancelled);
}

TEST_F(NcclCommunicatorTest, AbortEndsTheWaitForPeers) {
  NcclOptions options = OptionsOf(1, 2);
  options.init_timeout = milliseconds(0);  // until the abort
  const auto communicator = Start(UniqueId(), options);
  EXPECT_EQ(communicator->Broadcast(nullptr, 4, nullptr).code(),
            absl::StatusCode::kFailedPrecondition);
  auto waiting = std::async(std::launch::async, [&] { return communicator->WaitReady(); });
  communicator->Abort();
  EXPECT_EQ(waiting.get().code(), absl::StatusCode::kCancelled);
  communicator->Abort();  // once more does no harm
}

TEST_F(NcclCommunicatorTest, PeersThatMeetAfterAnAbortAreLeftInOrder) {
  const std::string id = UniqueId();
  const auto late = OptionsOf(1, 2);
  {
    const auto early = Start(id, OptionsOf(0, 2));
    early->Abort();
  }
  const auto communicator = Start(id, late);  // lets the early rank's init come back
  AwaitCall(0, "Abort");
  EXPECT_THAT(OpenedFakeNccl().Calls(0), ElementsAre("Init 2 device 1", "Abort"));
  communicator->Abort();
}

// Rank 1 never enters the collective, as if it had died.
void AbortAlone(bool abort_hangs) {
  OpenedFakeNccl().set_abort_hangs(abort_hangs);
  RunRanks(2, [](NcclCommunicator& communicator, RankDevice& device) {
    if (communicator.rank() == 1) return communicator.Abort();
    ASSERT_TRUE(communicator.AllReduceSum(device.data, 1, device.stream).ok());
    EXPECT_EQ(cudaStreamQuery(device.stream), cudaErrorNotReady);
    std::thread([&] { communicator.Abort(); }).join();
    EXPECT_EQ(cudaStreamSynchronize(device.stream), cudaSuccess);
    EXPECT_EQ(communicator.Check().code(), absl::StatusCode::kCancelled);
    EXPECT_EQ(communicator.AllReduceSum(device.data, 1, device.stream).code(),
              absl::StatusCode::kCancelled);
  });
  EXPECT_THAT(OpenedFakeNccl().Calls(0), Not(Contains("Destroy")));
  EXPECT_THAT(OpenedFakeNccl().Calls(0), Contains("Abort"));
}

TEST_F(NcclCommunicatorTest, AbortEndsACollectiveWhosePeerIsMissing) { AbortAlone(false); }

TEST_F(NcclCommunicatorTest, NothingWaitsForAnAbortThatHangs) { AbortAlone(true); }

TEST_F(NcclCommunicatorTest, FailedInitIsSaid) {
  OpenedFakeNccl().set_failure("CommInitRankConfig", nccl::kSystemError);
  const auto communicator = Start(UniqueId(), OptionsOf(0, 2));
  const absl::Status status = communicator->WaitReady();
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_EQ(status.message(), "ncclCommInitRankConfig: fake error (the fake's last words)");
}

TEST_F(NcclCommunicatorTest, MissingDeviceIsSaid) {
  NcclOptions options = OptionsOf(0, 2);
  options.device = 7;
  const absl::Status status = Start(UniqueId(), options)->WaitReady();
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(status.message()), HasSubstr("cudaSetDevice: "));
}

TEST_F(NcclCommunicatorTest, ErrorsOfCallsAndOfTheWireAreSaid) {
  RunRanks(2, [](NcclCommunicator& communicator, RankDevice& device) {
    OpenedFakeNccl().set_async_error(nccl::kRemoteError);
    EXPECT_EQ(communicator.Check().message(),
              "a collective failed: fake error (the fake's last words)");
    OpenedFakeNccl().set_failure("Broadcast", nccl::kSystemError);
    EXPECT_EQ(communicator.Broadcast(device.data, 4, device.stream).message(),
              "ncclBroadcast: fake error (the fake's last words)");
  });
  for (const int rank : {0, 1}) {
    AwaitCall(rank, "Abort");
    EXPECT_THAT(OpenedFakeNccl().Calls(rank), Not(Contains("Destroy")))
        << "out of step, so not a good end";
  }
}

}  // namespace
}  // namespace sluice::worker
