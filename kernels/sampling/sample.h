// SPDX-License-Identifier: Apache-2.0
// The sampler: picks the next ids of a step's rows from their logits and advances their state. The
// same steps, draws and ids as kernels/cpu/sampling/sampling.h, where they are written down.
//
// A row's logits are a run: one row of logits, and another for each of its drafts. Every position
// is sampled as if all drafts before it in its run were accepted; then each run is walked: the
// first sample counts, the next one only if the one before it equals its draft, and so on.
//
// Sums are of 64-bit integers, so no result depends on an order: a weight exp(x - max), computed as
// the CPU does to the bit, counts as floor(weight * 2^44). Against exact sums that is off by less
// than vocab * 2^-44 of the largest weight (1e-8 for 151,936 ids), and only a draw or a top_p that
// falls so close to a boundary picks another id than the CPU's sums of doubles.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "kernels/host/launch_result.h"
#include "kernels/sampling/logits_view.h"
#include "kernels/sampling/logprobs.h"
#include "kernels/sampling/sampler_state.h"

namespace sluice::kernels::sampling {

enum class SampleStatus : int32_t {
  kSampled = 0,
  kBadLogits = 1,       // a NaN or an infinity; the row goes on with the id 0 until it is released
  kNothingAllowed = 2,  // the masks leave no id; likewise
  kNotReached = 3,      // the draft before it was rejected, or the row of logits is not valid
};

// Whether a row with this top_k draws from so many ids that all of its logits have to be weighed.
inline constexpr int kNarrowTopK = 64;
inline bool IsBroad(int top_k) { return top_k <= 0 || top_k > kNarrowTopK; }

struct Sample {
  LogitsView logits;
  SamplerState state;
  int num_token_ids = 0;  // ids from here on are padding and masked
  // [num_logits], device. A run's rows of logits are neighbours, in order.
  const int32_t* rows = nullptr;       // RowId; each in at most one run
  const int32_t* indices = nullptr;    // place in the run, 0 for its first
  const int32_t* drafts = nullptr;     // the draft that follows, -1 after the last
  const int32_t* num_valid = nullptr;  // device; rows of logits beyond are skipped; null: none are
  int num_logits = 0;
  // What the caller knows of the rows' parameters; false promises more and launches less.
  bool any_random = true;           // a row with temperature >= 1e-5
  bool any_broad = true;            // such a row that IsBroad
  bool any_broad_cut = true;        // and has a top_k or a top_p below 1
  bool any_logprobs = true;         // a row with logprobs >= 0
  bool processed_logprobs = false;  // of what was drawn from, not of the raw logits
  int num_sms = 0;                  // of the device; changes no result
  void* workspace = nullptr;        // SamplerWorkspaceBytes, aligned to 16

  int32_t* ids = nullptr;          // [num_logits]; -1: not reached; 0 where the row failed
  SampleStatus* status = nullptr;  // [num_logits]
  Logprobs* logprobs = nullptr;    // [num_logits]; filled for sampled ids of rows that asked; may
                                   // be null when !any_logprobs
};

// Five kernels; three when no row is broad or wants log probabilities. Capturable.
LaunchResult RunSample(const Sample& sample, cudaStream_t stream);

// What a rank that does not sample does with the ids it is told: last_ids of the rows.
struct TakeSamples {
  const int32_t* ids = nullptr;      // [num_logits], device, as RunSample left them on rank 0
  const int32_t* rows = nullptr;     // [num_logits], device
  const int32_t* indices = nullptr;  // [num_logits], device
  int num_logits = 0;
  int32_t* last_ids = nullptr;  // [max_rows]
};

LaunchResult RunTakeSamples(const TakeSamples& take, cudaStream_t stream);

// Hands a step's samples to the host: a kernel that stores into pinned memory. Copies of both
// arrays, which go through another engine, made a step 13 us longer on an H100.
struct ReportSamples {
  const int32_t* ids = nullptr;          // [num_logits], device
  const SampleStatus* status = nullptr;  // [num_logits], device; null on ranks that do not sample
  int num_logits = 0;
  int32_t* host_ids = nullptr;  // pinned, as host_status
  SampleStatus* host_status = nullptr;
};

LaunchResult RunReportSamples(const ReportSamples& report, cudaStream_t stream);

}  // namespace sluice::kernels::sampling
