// SPDX-License-Identifier: Apache-2.0
#include "gateway/cli/bench/random_stream.h"

#include <cmath>
#include <numbers>

namespace sluice::gateway {
namespace {

// splitmix64's finalizer: neighbouring seeds and indices give unrelated streams.
uint64_t Mix(uint64_t x) {
  x += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

}  // namespace

RandomStream::RandomStream(uint64_t seed, Purpose purpose, uint64_t index)
    : engine_(Mix(Mix(Mix(seed) + static_cast<uint64_t>(purpose)) + index)) {}

double RandomStream::Uniform() { return (static_cast<double>(engine_() >> 11) + 0.5) * 0x1p-53; }

uint64_t RandomStream::Below(uint64_t bound) {
  return static_cast<uint64_t>(Uniform() * static_cast<double>(bound));
}

double RandomStream::Exponential(double mean) { return -mean * std::log(Uniform()); }

double RandomStream::Normal(double mean, double deviation) {
  const double radius = std::sqrt(-2 * std::log(Uniform()));
  return mean + deviation * radius * std::cos(2 * std::numbers::pi * Uniform());
}

}  // namespace sluice::gateway
