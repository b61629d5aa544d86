// SPDX-License-Identifier: Apache-2.0
// MemoryDivision: arrays one after the other in one piece of device memory that a caller owns, each
// aligned to 16 bytes. With null it only adds up, so that one function both says how much a
// workspace takes and divides it.
#pragma once

#include <cstddef>

namespace sluice::kernels {

class MemoryDivision {
 public:
  // memory: aligned to 16 bytes, or null.
  explicit MemoryDivision(void* memory) : memory_(static_cast<char*>(memory)) {}

  template <typename T>
  void Take(T** array, size_t count) {
    if (memory_ != nullptr) *array = reinterpret_cast<T*>(memory_ + used_);
    used_ += (count * sizeof(T) + 15) / 16 * 16;
  }

  size_t used() const { return used_; }  // bytes

 private:
  char* const memory_;
  size_t used_ = 0;
};

}  // namespace sluice::kernels
