// SPDX-License-Identifier: Apache-2.0
// Barriers of parts of a block: named ones, and those in shared memory that count threads and the
// bytes of bulk copies (kernels/device/transfer_barrier.cuh). A bulk copy is as late as allowed:
// its bytes arrive when a thread waits for them, and until then their place is NaN.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tests/cuda_emulation/simt.h"

namespace sluice::cuda_emulation {

// REQUIRES: called by whole warps; number 1 to 15, threads a multiple of 32.
void WaitAtBarrier(int number, int threads, Place place);
void PassBarrier(int number, int threads, Place place);

// state: in shared memory, as all of these.
void SetUpTransfer(uint64_t* state, int arrivals, Place place);
void ArriveAtTransfer(uint64_t* state, int expected_bytes, Place place);
void WaitForTransfer(uint64_t* state, int parity, Place place);

// A box of box_rows rows of 128 bytes from global memory, row_bytes apart, to swizzled rows; those
// from rows_there on become zero. Or, where run_bytes is not 0, that many bytes as they are.
struct BulkCopy {
  const uint8_t* global = nullptr;
  size_t row_bytes = 0;
  int box_rows = 0;
  uint8_t* shared = nullptr;
  uint64_t* barrier = nullptr;
  int rows_there = 0;
  int run_bytes = 0;

  int bytes() const { return run_bytes + box_rows * 128; }
};
void StartBulkCopy(const BulkCopy& copy, Place place);

// What the emulator does as a block ends: barriers are new for the next one. Ends the process if
// copies are under way.
void EndBlockOfBarriers();

}  // namespace sluice::cuda_emulation
