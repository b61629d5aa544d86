// SPDX-License-Identifier: Apache-2.0
// Cuts independent work into ranges for a pool. Where the cuts fall never changes a result.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/cpu/thread_pool.h"

namespace sluice::kernels::cpu {

// Waking a thread costs as much as a few thousand floats of elementwise work.
inline constexpr int64_t kMinFloatsPerTask = 8192;

inline int64_t MinRowsPerTask(int64_t width) {
  return std::max<int64_t>(1, kMinFloatsPerTask / std::max<int64_t>(1, width));
}

// Calls fn(begin, end) over [0, num), at least min_per_task items at a time (the last range may
// have fewer).
template <typename Fn>
void ForRanges(int64_t num, int64_t min_per_task, ThreadPool& pool, Fn&& fn) {
  if (num <= 0) return;
  const int64_t threads = pool.num_threads();
  const int64_t per_task = std::max(min_per_task, (num + threads - 1) / threads);
  const int64_t tasks = (num + per_task - 1) / per_task;
  pool.ParallelFor(static_cast<int>(tasks),
                   [&](int task) { fn(task * per_task, std::min(num, (task + 1) * per_task)); });
}

}  // namespace sluice::kernels::cpu
