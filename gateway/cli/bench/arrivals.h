// SPDX-License-Identifier: Apache-2.0
// PoissonArrivals: when the requests of an open loop are due. Their times do not depend on how fast
// the server answers; that is what sets an open loop apart. One thread.
#pragma once

#include <chrono>
#include <cstdint>

#include "gateway/cli/bench/random_stream.h"

namespace sluice::gateway {

class PoissonArrivals {
 public:
  // `per_second` may be infinite: all are due at once. REQUIRES: per_second > 0.
  PoissonArrivals(double per_second, uint64_t seed);
  // Since the start; the first one is one gap after it.
  std::chrono::duration<double> Next();

 private:
  const double mean_gap_s_;
  RandomStream random_;
  double at_s_ = 0;
};

}  // namespace sluice::gateway
