// SPDX-License-Identifier: Apache-2.0
#include "gateway/cli/bench/arrivals.h"

namespace sluice::gateway {

PoissonArrivals::PoissonArrivals(double per_second, uint64_t seed)
    : mean_gap_s_(1 / per_second), random_(seed, RandomStream::Purpose::kArrivals, 0) {}

std::chrono::duration<double> PoissonArrivals::Next() {
  at_s_ += random_.Exponential(mean_gap_s_);
  return std::chrono::duration<double>(at_s_);
}

}  // namespace sluice::gateway
