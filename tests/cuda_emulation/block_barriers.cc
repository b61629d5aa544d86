// SPDX-License-Identifier: Apache-2.0
#include "tests/cuda_emulation/block_barriers.h"

#include <bit>
#include <cstring>
#include <vector>

namespace sluice::cuda_emulation {
namespace {

constexpr int kNamedBarriers = 16;
constexpr int kRowBytes = 128;

struct NamedBarrier {
  int threads = 0;  // that it is for; 0: none has come
  int come = 0;
  int opened = 0;  // how often
};

// The eight bytes of a barrier in shared memory.
struct Transfer {
  uint16_t arrivals;      // of a phase
  uint16_t left : 15;     // arrivals of this phase
  uint16_t parity : 1;    // of this phase
  int32_t missing_bytes;  // announced and not there; below zero: there and not announced
};
static_assert(sizeof(Transfer) == sizeof(uint64_t));

// Of the block that runs.
struct Barriers {
  NamedBarrier named[kNamedBarriers];
  std::vector<BulkCopy> copies;  // under way
};

Barriers& TheBarriers() {
  static auto& barriers = *new Barriers;
  return barriers;
}

NamedBarrier& ComeTo(int number, int threads, Place place) {
  if (number < 1 || number >= kNamedBarriers || threads < kWarpLanes || threads % kWarpLanes != 0) {
    Fail("no such named barrier", place);
  }
  NamedBarrier& barrier = TheBarriers().named[number];
  if (barrier.come > 0 && barrier.threads != threads) {
    Fail("threads come to a named barrier with different counts", place);
  }
  barrier.threads = threads;
  if (++barrier.come == threads) {
    barrier.come = 0;
    ++barrier.opened;
  }
  return barrier;
}

Transfer Load(const uint64_t* state) { return std::bit_cast<Transfer>(*state); }

void Store(uint64_t* state, Transfer transfer) {
  if (transfer.left == 0 && transfer.missing_bytes == 0) {
    transfer.left = transfer.arrivals & 0x7fffu;
    transfer.parity ^= 1;
  }
  *state = std::bit_cast<uint64_t>(transfer);
}

// What threads wait for: they hold it on their stacks.
struct NamedWait {
  const NamedBarrier* barrier;
  int opened;
};
struct TransferWait {
  uint64_t* state;
  int parity;
};

void Finish(const BulkCopy& copy) {
  if (copy.run_bytes > 0) {
    std::memcpy(copy.shared, copy.global, static_cast<size_t>(copy.run_bytes));
  }
  for (int row = 0; row < copy.box_rows; ++row) {
    for (int column = 0; column < kRowBytes / 16; ++column) {
      const ptrdiff_t at = copy.shared - DynamicShared() + row * kRowBytes + column * 16;
      uint8_t* to = DynamicShared() + (at ^ (at >> 7 & 7) << 4);
      if (row >= copy.rows_there) {
        std::memset(to, 0, 16);
        continue;
      }
      std::memcpy(to, copy.global + static_cast<size_t>(row) * copy.row_bytes + column * 16, 16);
    }
  }
  Transfer transfer = Load(copy.barrier);
  transfer.missing_bytes -= copy.bytes();
  Store(copy.barrier, transfer);
}

bool HasEnded(void* what) {
  const auto& wait = *static_cast<const TransferWait*>(what);
  if (Load(wait.state).parity != wait.parity) return true;
  std::vector<BulkCopy>& copies = TheBarriers().copies;
  for (size_t i = 0; i < copies.size();) {
    if (copies[i].barrier != wait.state) {
      ++i;
      continue;
    }
    const BulkCopy copy = copies[i];
    copies.erase(copies.begin() + static_cast<ptrdiff_t>(i));
    Finish(copy);
  }
  return Load(wait.state).parity != wait.parity;
}

}  // namespace

void WaitAtBarrier(int number, int threads, Place place) {
  const int opened = TheBarriers().named[number & (kNamedBarriers - 1)].opened;
  NamedWait wait = {&ComeTo(number, threads, place), opened};
  WaitUntil(
      [](void* what) {
        const auto& own = *static_cast<const NamedWait*>(what);
        return own.barrier->opened != own.opened;
      },
      &wait, place);
}

void PassBarrier(int number, int threads, Place place) { ComeTo(number, threads, place); }

void SetUpTransfer(uint64_t* state, int arrivals, Place place) {
  CheckShared(state, sizeof(*state), place);
  const auto count = static_cast<uint16_t>(arrivals);
  *state = std::bit_cast<uint64_t>(Transfer{count, static_cast<uint16_t>(count & 0x7fffu), 0, 0});
}

void ArriveAtTransfer(uint64_t* state, int expected_bytes, Place place) {
  CheckShared(state, sizeof(*state), place);
  Transfer transfer = Load(state);
  if (transfer.arrivals == UINT16_MAX) Fail("a barrier that was not set up", place);
  if (transfer.left == 0) Fail("more threads arrive at a barrier than it is for", place);
  --transfer.left;
  transfer.missing_bytes += expected_bytes;
  Store(state, transfer);
}

void WaitForTransfer(uint64_t* state, int parity, Place place) {
  CheckShared(state, sizeof(*state), place);
  if (Load(state).arrivals == UINT16_MAX) Fail("a barrier that was not set up", place);
  TransferWait wait = {state, parity};
  WaitUntil(HasEnded, &wait, place);
}

void StartBulkCopy(const BulkCopy& copy, Place place) {
  CheckShared(copy.barrier, sizeof(*copy.barrier), place);
  for (int at = 0; at < copy.bytes(); at += 16) CheckShared(copy.shared + at, 16, place);
  if (copy.box_rows > 0 && (copy.shared - DynamicShared()) % (8 * kRowBytes) != 0) {
    Fail("a box that does not begin at a multiple of 1,024 bytes of shared memory", place);
  }
  std::memset(copy.shared, 0xff, static_cast<size_t>(copy.bytes()));
  TheBarriers().copies.push_back(copy);
}

void EndBlockOfBarriers() {
  if (!TheBarriers().copies.empty()) {
    Fail("the block ends while bulk copies are under way", Place::current());
  }
  TheBarriers() = {};
}

}  // namespace sluice::cuda_emulation
