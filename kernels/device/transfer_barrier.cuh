// SPDX-License-Identifier: Apache-2.0
// A TransferBarrier in shared memory (PTX ISA, "mbarrier") counts arrivals of threads and bytes of
// bulk copies. A phase ends when as many threads have arrived as it was set up for and all bytes
// that they announced are there; the next one begins at once. Phases have parity 0, 1, 0, ...: who
// keeps count of them waits for the end of a phase by its parity.
#pragma once

#include <cstdint>

#include "kernels/device/async_copy.cuh"

namespace sluice::kernels::device {

struct TransferBarrier {
  uint64_t state;

  // By one thread; the others may use it after its PublishBarriers and a barrier of the block.
  __device__ void SetUp(int arrivals) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(SharedAddress(this)), "r"(arrivals)
                 : "memory");
  }

  __device__ void Arrive() {
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(SharedAddress(this)) : "memory");
  }

  // Arrives, and the phase also waits for so many bytes of bulk copies.
  __device__ void ArriveAndExpect(int bytes) {
    asm volatile(
        "mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(SharedAddress(this)),
        "r"(bytes)
        : "memory");
  }

  // Until the phase of this parity has ended. True at once of parity 1 before the first phase ends:
  // what is waited for before the first round.
  __device__ void Wait(int parity) {
    uint32_t ended;
    do {
      asm volatile(
          "{\n.reg .pred p;\nmbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\n"
          "selp.u32 %0, 1, 0, p;\n}"
          : "=r"(ended)
          : "r"(SharedAddress(this)), "r"(parity)
          : "memory");
    } while (ended == 0);
  }
};

__device__ inline void PublishBarriers() {
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}

}  // namespace sluice::kernels::device
