// SPDX-License-Identifier: Apache-2.0
// What the sampler remembers of each row on the device, indexed by RowId. The executor of rank 0
// allocates it and never touches it; SetRows writes a row, Sample advances it. On other ranks only
// last_ids exists.
//
// Two planes are dense, since a row may come to hold as many distinct ids as it has tokens, and a
// pool of anything smaller could run out: 8 bytes a row and id, 311 MB for 256 rows of 151,936.
// They are read only for rows whose parameters need them.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/host/host_device.h"

namespace sluice::kernels::sampling {

inline constexpr int kMaxTopLogprobs = 20;
inline constexpr float kGreedyBelow = 1e-5f;  // temperatures that mean greedy

// One row's parameters as kernels read them; RowUpload makes them.
struct RowParams {
  float temperature = 1.0f;
  float top_p = 1.0f;
  float min_p = 0.0f;
  float repetition_penalty = 1.0f;
  float presence_penalty = 0.0f;
  float frequency_penalty = 0.0f;
  int32_t top_k = 0;
  int32_t logprobs = -1;   // the most likely so many, 0 to kMaxTopLogprobs; -1: none at all
  int32_t min_tokens = 0;  // stop ids are masked while fewer outputs exist
  uint32_t choice = 0;
  uint64_t seed = 0;
  int32_t num_outputs = 0;   // ids generated before this row began
  uint8_t uses_marks = 0;    // the row reads its plane of marks
  uint8_t uses_bias = 0;     // and of bias
  uint8_t uses_history = 0;  // outputs are counted in the marks
  uint8_t has_allowed = 0;   // ids are masked unless they were allowed
};

// Bits of a mark; below them the number of times the id was generated.
inline constexpr uint32_t kMarkCount = 0xFFFFFFu;
inline constexpr uint32_t kMarkPrompt = 1u << 24;
inline constexpr uint32_t kMarkNotAllowed = 1u << 25;
inline constexpr uint32_t kMarkBanned = 1u << 26;
inline constexpr uint32_t kMarkStop = 1u << 27;

struct SamplerState {
  RowParams* params = nullptr;     // [max_rows]
  int32_t* num_outputs = nullptr;  // [max_rows]
  int32_t* last_ids = nullptr;     // [max_rows]; the id sampled last
  uint32_t* marks = nullptr;       // [max_rows][PlaneStride(vocab)]; aligned to 16 bytes
  float* bias = nullptr;           // [max_rows][PlaneStride(vocab)]; aligned to 16 bytes
  int max_rows = 0;
  int vocab = 0;  // that of LogitsView
};

SLUICE_HOST_DEVICE inline int64_t PlaneStride(int vocab) { return (int64_t{vocab} + 3) / 4 * 4; }

// What to allocate for a state; nothing of it has to be initialized.
struct SamplerStateBytes {
  size_t params = 0;
  size_t num_outputs = 0;
  size_t last_ids = 0;
  size_t marks = 0;
  size_t bias = 0;

  size_t total() const { return params + num_outputs + last_ids + marks + bias; }
};

inline SamplerStateBytes BytesOfSamplerState(int max_rows, int vocab) {
  const auto rows = static_cast<size_t>(max_rows);
  const size_t plane = rows * static_cast<size_t>(PlaneStride(vocab));
  return {.params = rows * sizeof(RowParams),
          .num_outputs = rows * sizeof(int32_t),
          .last_ids = rows * sizeof(int32_t),
          .marks = plane * sizeof(uint32_t),
          .bias = plane * sizeof(float)};
}

}  // namespace sluice::kernels::sampling
