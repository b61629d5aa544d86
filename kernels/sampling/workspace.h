// SPDX-License-Identifier: Apache-2.0
// How the sampler's scratch memory is divided, and the sizes that its passes share. Used by
// kernels/sampling alone.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/host/memory_division.h"
#include "kernels/sampling/sample.h"
#include "kernels/sampling/sampler_state.h"

namespace sluice::kernels::sampling {

// Sums of weights; the type that atomicAdd takes.
using Weight = unsigned long long;
inline constexpr int kWeightBits = 44;

// A warp looks at so many neighbouring ids at a time. At most 256 segments a row.
inline constexpr int kSegment = 1024;
inline constexpr int kMaxSegments = kMaxVocab / kSegment;

// Ids are counted by how far their value is below the largest: 32 bins a unit (a factor e in
// probability), the last bin for all beyond. The ids up to some bin are listed if they are this
// few.
inline constexpr int kBins = 512;
inline constexpr float kBinsPerUnit = 32.0f;
inline constexpr int kMaxListed = 2048;
// Lists up to this long are sorted.
inline constexpr int kShortList = 256;

// What the values of a row of logits are looked at for.
enum Domain : int {
  kDrawn = 0,  // to draw an id: after masks, bias, penalties and temperature
  kRaw = 1,    // for log probabilities of the raw logits
  kNumDomains = 2,
};

// Of one segment of one row of logits.
struct SegmentScan {
  float max;       // after masks, bias and penalties; -inf: nothing is left
  int32_t argmax;  // the lowest id of the largest
  float raw_max;
  int32_t bad;  // a NaN or an infinity among the logits
};

// What a list holds of the ids that can be kept.
enum class Listed : int32_t {
  kNothing,   // they are too many
  kAll,       // each of them
  kBoundary,  // those of the bin in which top_p ends; all of the bins before it are kept, and
              // segment_sums say what they weigh
};

// Of one row of logits in one domain: what its bins say.
struct BinTotals {
  Weight weight;
  Weight before;  // of the bins before that in which top_p ends
  uint32_t count;
  Listed listed;
};

struct Picked {
  int32_t id;
  SampleStatus status;
};

// A log probability is value - max - log_total.
struct Normalizer {
  double log_total;
  float max;
};

// Arrays are [num_logits]..., or [kNumDomains][num_logits]... .
struct Workspace {
  SegmentScan* scans;     // [..][segments]
  Weight* segment_sums;   // domains [..][segments]
  Weight* bin_weights;    // domains [..][kBins]
  Weight* list;           // domains [..][kMaxListed]; ListEntry
  BinTotals* totals;      // domains [..]
  Normalizer* raw;        // [..]
  Picked* picked;         // [..]
  uint32_t* bin_counts;   // domains [..][kBins]
  uint32_t* list_counts;  // domains [..]
};

inline int NumSegments(int vocab) { return (vocab + kSegment - 1) / kSegment; }

// Divides memory, or with null only adds up: returns the bytes.
inline size_t DivideWorkspace(char* memory, int num_logits, int vocab, Workspace* workspace) {
  const auto rows = static_cast<size_t>(num_logits);
  const auto segments = static_cast<size_t>(NumSegments(vocab));
  const size_t both = kNumDomains * rows;
  MemoryDivision division(memory);
  division.Take(&workspace->scans, rows * segments);
  division.Take(&workspace->segment_sums, both * segments);
  division.Take(&workspace->bin_weights, both * kBins);
  division.Take(&workspace->list, both * kMaxListed);
  division.Take(&workspace->totals, both);
  division.Take(&workspace->raw, rows);
  division.Take(&workspace->picked, rows);
  division.Take(&workspace->bin_counts, both * kBins);
  division.Take(&workspace->list_counts, both);
  return division.used();
}

}  // namespace sluice::kernels::sampling
