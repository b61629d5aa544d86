// SPDX-License-Identifier: Apache-2.0
// What has to be found out about one row of logits, and which of the ways of finding it is taken.
#pragma once

#include "kernels/sampling/row_scan.cuh"

namespace sluice::kernels::sampling {

// What a row of logits needs in a domain, after the scan.
struct Task {
  bool random = false;      // an id is drawn; otherwise the largest value wins
  bool normalized = false;  // log probabilities are wanted
  int num_listed = 0;       // of so many of the most likely ids, too
  float temperature = 1.0f;
  float min_p = 0.0f;
  int top_k = 0;
  float top_p = 1.0f;
  float max = 0.0f;  // the largest value, after temperature

  // How the ids that can be kept or listed are found, so that few have to be looked at. A number of
  // largest values: so many segments have a maximum that is at least the least of so many maxima,
  // so the ids from that value on are enough; weigh lists them. Otherwise by bins, in gather.
  bool by_maxima = false;
  bool by_bins = false;

  __device__ bool needed() const { return random || normalized; }
  // So many of the largest values are enough. REQUIRES: by_maxima.
  __device__ int num_largest() const { return top_k > 0 ? top_k : num_listed; }
  // The weights of all ids are summed up, segment by segment.
  __device__ bool summed() const { return !(by_maxima && top_k > 0); }
};

// REQUIRES: the scan is neither bad nor empty.
__device__ inline Task DrawnTask(const Passes& p, int l, const RowScan& scan) {
  const RowParams& params = p.state.params[p.rows[l]];
  Task task;
  task.max = scan.max;
  const float scaled_max = scan.max / params.temperature;
  if (params.temperature >= kGreedyBelow && IsFinite(scaled_max)) {
    task.random = true;
    task.temperature = params.temperature;
    task.min_p = params.min_p;
    task.top_k = params.top_k;
    task.top_p = params.top_p;
    task.max = scaled_max;
  }
  task.normalized = p.processed_logprobs && params.logprobs >= 0;
  if (task.normalized) task.num_listed = params.logprobs;
  return task;
}

__device__ inline Task RawTask(const Passes& p, int l, const RowScan& scan) {
  Task task;
  task.max = scan.raw_max;
  if (p.rows == nullptr) {
    task.normalized = true;
    task.num_listed = min(max(p.top_k[l], 0), kMaxTopLogprobs);
  } else if (!p.processed_logprobs) {
    const int wanted = p.state.params[p.rows[l]].logprobs;
    task.normalized = wanted >= 0;
    task.num_listed = max(wanted, 0);
  }
  return task;
}

// What a row of logits needs in a domain; nothing when its scan says so.
__device__ inline Task TaskOf(const Passes& p, Domain domain, int l, const RowScan& scan) {
  if (scan.bad || (domain == kDrawn && scan.argmax < 0)) return {};
  Task task = domain == kRaw ? RawTask(p, l, scan) : DrawnTask(p, l, scan);
  const int num_largest = task.num_largest();
  // The maxima of raw logits may be those of padding, which is not listed: segments without it.
  const int num_maxima = domain == kRaw ? p.num_token_ids / kSegment : p.num_segments;
  const bool finds_largest = task.top_k > 0 || (task.top_p >= 1.0f && num_largest > 0);
  task.by_maxima = finds_largest && num_largest <= num_maxima;
  task.by_bins = !task.by_maxima && (finds_largest || task.top_p < 1.0f);
  return task;
}

}  // namespace sluice::kernels::sampling
