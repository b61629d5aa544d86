// SPDX-License-Identifier: Apache-2.0
// RandomStream: the load generator's randomness. The same seed gives the same numbers on every
// machine and standard library, which std:: distributions do not promise; that is why the
// transforms are our own. One thread.
#pragma once

#include <cstdint>
#include <random>

namespace sluice::gateway {

class RandomStream {
 public:
  // What one number is drawn for: streams of different purposes do not touch each other.
  enum class Purpose : uint64_t { kArrivals, kPrompt, kPrefix, kLengths };
  // `index`: of the request or prefix.
  RandomStream(uint64_t seed, Purpose purpose, uint64_t index);

  double Uniform();                 // in (0, 1)
  uint64_t Below(uint64_t bound);   // from 0 to bound - 1; REQUIRES: bound > 0
  double Exponential(double mean);  // of a Poisson process's gaps
  double Normal(double mean, double deviation);

 private:
  std::mt19937_64 engine_;
};

}  // namespace sluice::gateway
