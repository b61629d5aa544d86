// SPDX-License-Identifier: Apache-2.0
#include "gateway/cli/bench/summary.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace sluice::gateway {

double Percentile(const std::vector<double>& sorted, double percent) {
  const double rank = percent / 100 * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<size_t>(rank);
  const size_t above = std::min(below + 1, sorted.size() - 1);
  return std::lerp(sorted[below], sorted[above], rank - static_cast<double>(below));
}

Summary Summarize(std::vector<double> values) {
  Summary summary;
  if (values.empty()) return summary;
  std::sort(values.begin(), values.end());
  double sum = 0;
  for (double value : values) sum += value;
  summary.count = static_cast<int64_t>(values.size());
  summary.mean = sum / static_cast<double>(values.size());
  summary.min = values.front();
  summary.p50 = Percentile(values, 50);
  summary.p90 = Percentile(values, 90);
  summary.p95 = Percentile(values, 95);
  summary.p99 = Percentile(values, 99);
  summary.max = values.back();
  return summary;
}

}  // namespace sluice::gateway
