// SPDX-License-Identifier: Apache-2.0
#include "worker/parallel/shared_memory_communicator.h"

#include <dirent.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <csignal>
#include <cstring>
#include <functional>
#include <future>
#include <random>
#include <set>
#include <thread>
#include <vector>

namespace sluice::worker {
namespace {

using testing::HasSubstr;

using RankBody = std::function<void(Communicator&)>;

// Runs the body on every rank, rank 0 on this thread.
void RunThreads(int world_size, const SharedMemoryOptions& options, const RankBody& body) {
  auto leader = SharedMemoryCommunicator::Create(world_size, options);
  ASSERT_TRUE(leader.ok()) << leader.status();
  std::vector<std::thread> threads;
  for (int rank = 1; rank < world_size; ++rank) {
    threads.emplace_back([&, rank] {
      auto peer =
          SharedMemoryCommunicator::Open((*leader)->segment_name(), rank, world_size, options);
      ASSERT_TRUE(peer.ok()) << peer.status();
      body(**peer);
    });
  }
  body(**leader);
  for (std::thread& thread : threads) thread.join();
}

// A rank's operand of an operation: values whose sum depends on the order of addition.
std::vector<float> Operand(int rank, int operation, size_t size) {
  std::mt19937 random(static_cast<unsigned>(rank * 1000 + operation));
  std::vector<float> values(size);
  for (float& value : values) {
    value = std::ldexp(static_cast<float>(random()), static_cast<int>(random() % 40) - 50);
  }
  return values;
}

// The balanced tree, spelled out for each world size.
float TreeSum(const std::vector<float>& v) {
  switch (v.size()) {
    case 2:
      return v[0] + v[1];
    case 3:
      return (v[0] + v[1]) + v[2];
    case 4:
      return (v[0] + v[1]) + (v[2] + v[3]);
    case 5:
      return ((v[0] + v[1]) + (v[2] + v[3])) + v[4];
    default:
      return ((v[0] + v[1]) + (v[2] + v[3])) + ((v[4] + v[5]) + (v[6] + v[7]));
  }
}

class WorldSizeTest : public testing::TestWithParam<int> {};

TEST_P(WorldSizeTest, AllReduceAddsInTreeOrderAcrossPieces) {
  const int world = GetParam();
  // Slots of 4 KiB: sizes below, at and beyond one piece, and not a multiple of a block.
  const SharedMemoryOptions options = {.slot_bytes = 4096};
  RunThreads(world, options, [world](Communicator& communicator) {
    int operation = 0;
    for (const size_t size : {1UL, 511UL, 1024UL, 1025UL, 5000UL, 0UL, 7UL}) {
      ++operation;
      std::vector<float> data = Operand(communicator.rank(), operation, size);
      ASSERT_TRUE(communicator.AllReduceSum(data).ok());
      std::vector<std::vector<float>> operands;
      for (int rank = 0; rank < world; ++rank) operands.push_back(Operand(rank, operation, size));
      for (size_t i = 0; i < size; ++i) {
        std::vector<float> column;
        for (const auto& operand : operands) column.push_back(operand[i]);
        ASSERT_EQ(data[i], TreeSum(column)) << "element " << i << " of " << size;
      }
    }
  });
}

TEST_P(WorldSizeTest, GatherBroadcastAndReduceInterleave) {
  const int world = GetParam();
  RunThreads(world, {.slot_bytes = 256}, [world](Communicator& communicator) {
    for (int round = 0; round < 200; ++round) {
      // Gathers back to back: only rank 0 waits in them, and the others run ahead of it.
      for (int i = 0; i < 3; ++i) {
        const int operation = round * 3 + i;
        const std::vector<float> local = Operand(communicator.rank(), operation, 100);
        std::vector<float> all(communicator.rank() == 0 ? 100 * static_cast<size_t>(world) : 0);
        ASSERT_TRUE(communicator.Gather(local, all).ok());
        for (int rank = 0; rank < world && !all.empty(); ++rank) {
          const auto begin = all.begin() + rank * 100;
          ASSERT_EQ(std::vector<float>(begin, begin + 100), Operand(rank, operation, 100));
        }
      }
      std::vector<int> data(90, communicator.rank() == 0 ? round : -1);
      ASSERT_TRUE(communicator.Broadcast(std::as_writable_bytes(std::span(data))).ok());
      ASSERT_EQ(data, std::vector<int>(90, round));
      std::vector<float> ones(3, 1.0f);
      ASSERT_TRUE(communicator.AllReduceSum(ones).ok());
      ASSERT_EQ(ones[2], static_cast<float>(world));
    }
  });
}

INSTANTIATE_TEST_SUITE_P(WorldSizes, WorldSizeTest, testing::Values(2, 3, 4, 5, 8));

TEST(SharedMemoryCommunicatorTest, ReducesBetweenForkedProcesses) {
  constexpr int kWorld = 4;
  constexpr int kRounds = 300;
  auto leader = SharedMemoryCommunicator::Create(kWorld, {});
  ASSERT_TRUE(leader.ok()) << leader.status();
  const std::string name = (*leader)->segment_name();
  std::vector<pid_t> children;
  for (int rank = 1; rank < kWorld; ++rank) {
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      auto peer = SharedMemoryCommunicator::Open(name, rank, kWorld, {});
      bool good = peer.ok();
      for (int round = 0; good && round < kRounds; ++round) {
        std::vector<float> data(5120, static_cast<float>(rank + round));
        good = (*peer)->AllReduceSum(data).ok() && data[5119] == static_cast<float>(6 + 4 * round);
      }
      _exit(good ? 0 : 1);
    }
    children.push_back(child);
  }
  for (int round = 0; round < kRounds; ++round) {
    std::vector<float> data(5120, static_cast<float>(round));
    ASSERT_TRUE((*leader)->AllReduceSum(data).ok());
    ASSERT_EQ(data[0], static_cast<float>(6 + 4 * round));
  }
  for (const pid_t child : children) {
    int status = -1;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  }
}

TEST(SharedMemoryCommunicatorTest, AbortWakesAPeerOfAKilledProcess) {
  auto leader = SharedMemoryCommunicator::Create(2, {});
  ASSERT_TRUE(leader.ok());
  const pid_t child = fork();
  if (child == 0) {
    auto peer = SharedMemoryCommunicator::Open((*leader)->segment_name(), 1, 2, {});
    std::vector<float> data(10);
    // One collective, then death in the middle of nowhere.
    (void)(*peer)->AllReduceSum(data);
    raise(SIGKILL);
  }
  std::vector<float> data(10);
  ASSERT_TRUE((*leader)->AllReduceSum(data).ok());
  auto second = std::async(std::launch::async, [&] { return (*leader)->AllReduceSum(data); });
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);  // as the launcher learns of it
  (*leader)->Abort();
  EXPECT_EQ(second.get().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ((*leader)->AllReduceSum(data).code(), absl::StatusCode::kCancelled);
}

TEST(SharedMemoryCommunicatorTest, AbortReachesEveryRank) {
  RunThreads(3, {}, [](Communicator& communicator) {
    if (communicator.rank() == 2) {
      communicator.Abort();
      return;
    }
    std::vector<float> data(10);
    EXPECT_EQ(communicator.AllReduceSum(data).code(), absl::StatusCode::kCancelled);
  });
}

TEST(SharedMemoryCommunicatorTest, ATimeoutNamesThePeerAndAbortsTheGroup) {
  auto leader = SharedMemoryCommunicator::Create(2, {.timeout = std::chrono::milliseconds(1)});
  auto peer = SharedMemoryCommunicator::Open((*leader)->segment_name(), 1, 2, {});
  ASSERT_TRUE(peer.ok()) << peer.status();
  std::vector<float> data(10);
  const absl::Status status = (*leader)->AllReduceSum(data);
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(std::string(status.message()), HasSubstr("rank 0 waited 1 ms for rank 1"));
  EXPECT_EQ((*peer)->AllReduceSum(data).code(), absl::StatusCode::kCancelled);
}

TEST(SharedMemoryCommunicatorTest, RefusesWhatItCannotJoin) {
  auto leader = SharedMemoryCommunicator::Create(2, {});
  const std::string name = (*leader)->segment_name();
  const auto message = [](const std::string& segment, int rank, int world) {
    return std::string(SharedMemoryCommunicator::Open(segment, rank, world, {}).status().message());
  };
  EXPECT_THAT(message("/dev/shm/x", 1, 2), HasSubstr("names no segment"));
  EXPECT_THAT(message("/proc/1/fd/../../../etc/passwd", 1, 2), HasSubstr("names no segment"));
  EXPECT_THAT(message("/proc/0/fd/3:1", 1, 2), HasSubstr("No such file"));
  EXPECT_THAT(message(name, 2, 2), HasSubstr("no rank 2 of 2"));
  std::string other = name;
  other.back() = other.back() == '0' ? '1' : '0';
  EXPECT_THAT(message(other, 1, 2), HasSubstr("belongs to another group"));
  EXPECT_THAT(message(name, 1, 3), HasSubstr("belongs to another group"));
  auto peer = SharedMemoryCommunicator::Open(name, 1, 2, {});
  EXPECT_TRUE(peer.ok()) << peer.status();
  EXPECT_THAT(message(name, 1, 2), HasSubstr("joined already"));
  EXPECT_FALSE(SharedMemoryCommunicator::Create(1, {}).ok());
  EXPECT_FALSE(SharedMemoryCommunicator::Create(65, {}).ok());
}

std::set<std::string> FilesIn(const char* dir) {
  std::set<std::string> names;
  DIR* entries = opendir(dir);
  if (entries == nullptr) return names;
  while (const dirent* entry = readdir(entries)) names.insert(entry->d_name);
  closedir(entries);
  return names;
}

TEST(SharedMemoryCommunicatorTest, LeavesNothingInDevShmWhenKilled) {
  const std::set<std::string> before = FilesIn("/dev/shm");
  const pid_t child = fork();
  if (child == 0) {
    auto leader = SharedMemoryCommunicator::Create(2, {});
    raise(SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  for (const std::string& name : FilesIn("/dev/shm")) {
    EXPECT_TRUE(before.contains(name) || name.find("sluice") == std::string::npos) << name;
  }
}

TEST(SingleRankCommunicatorTest, GathersItsOwn) {
  SingleRankCommunicator communicator;
  const std::vector<float> local = {1, 2, 3};
  std::vector<float> out(3);
  EXPECT_TRUE(communicator.Gather(local, out).ok());
  EXPECT_EQ(out, local);
  out.resize(2);
  EXPECT_FALSE(communicator.Gather(local, out).ok());
}

}  // namespace
}  // namespace sluice::worker
