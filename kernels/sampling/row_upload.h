// SPDX-License-Identifier: Apache-2.0
// RowUpload: packs the rows that a step adds into one buffer, which the caller copies to the device
// and RunSetRows unpacks. Host code without CUDA calls. Used by the step thread of rank 0.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/sampling/sampler_state.h"

namespace sluice::kernels::sampling {

struct LogitBias {
  int32_t id = 0;
  float bias = 0.0f;
};

// One row to be. Ids outside [0, vocab) are ignored in every list, as are those from num_token_ids
// on when it comes to sampling.
struct RowInit {
  int32_t row = 0;
  float temperature = 1.0f;  // below 1e-5: greedy
  int top_k = 0;             // 0: off
  float top_p = 1.0f;        // (0, 1]
  float min_p = 0.0f;        // [0, 1]
  float repetition_penalty = 1.0f;
  float presence_penalty = 0.0f;
  float frequency_penalty = 0.0f;
  std::span<const LogitBias> logit_bias;  // each id at most once
  std::span<const int32_t> allowed_ids;   // empty: all
  std::span<const int32_t> banned_ids;
  std::span<const int32_t> stop_ids;  // masked while there are fewer than min_tokens outputs
  int64_t min_tokens = 0;
  uint64_t seed = 0;
  uint32_t choice = 0;
  int logprobs = -1;                // 0 to kMaxTopLogprobs; -1: none
  std::span<const int32_t> prompt;  // only read, like output, when a penalty is on
  std::span<const int32_t> output;  // ids generated before the row begins
  int64_t num_outputs = 0;          // how many those are, penalty or not
};

// A row in the buffer. Lists lie behind the records, 4 bytes an entry (the ids of the biases, then
// their values), in this order.
struct UploadedRow {
  RowParams params;
  int32_t row = 0;
  uint32_t first_word = 0;  // of the lists, counted from the end of the records
  uint32_t num_bias = 0;
  uint32_t num_allowed = 0;
  uint32_t num_banned = 0;
  uint32_t num_stop = 0;
  uint32_t num_prompt = 0;
  uint32_t num_output = 0;
};

class RowUpload {
 public:
  // Bytes that a row takes: about 100, and 4 for each entry of a list that is needed.
  static size_t BytesOf(const RowInit& init);

  void Add(const RowInit& init);
  void Clear();

  int num_rows() const { return static_cast<int>(rows_.size()); }
  size_t bytes() const { return rows_.size() * sizeof(UploadedRow) + words_.size() * 4; }
  // Writes bytes() bytes to `to`, which is aligned to 8.
  void CopyTo(void* to) const;

 private:
  void Append(std::span<const int32_t> ids);

  std::vector<UploadedRow> rows_;
  std::vector<uint32_t> words_;
};

}  // namespace sluice::kernels::sampling
