// SPDX-License-Identifier: Apache-2.0
// Summary: what a report says of many measured values. Pure functions, any thread.
#pragma once

#include <cstdint>
#include <vector>

namespace sluice::gateway {

struct Summary {
  int64_t count = 0;  // 0: the rest means nothing
  double mean = 0, min = 0, p50 = 0, p90 = 0, p95 = 0, p99 = 0, max = 0;
};

// Between the two nearest values in proportion, as numpy.percentile does by default. REQUIRES:
// `sorted` is not empty, `percent` is from 0 to 100.
double Percentile(const std::vector<double>& sorted, double percent);

Summary Summarize(std::vector<double> values);

}  // namespace sluice::gateway
