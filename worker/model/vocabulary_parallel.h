// SPDX-License-Identifier: Apache-2.0
// The two ends of the model, shared by rows of the vocabulary: the embedding (each rank looks up
// its own ids and leaves zeros elsewhere, so the sum over ranks is exact) and lm_head (logits are
// gathered on rank 0, which samples).
//
// Weights are immutable after Load; the step thread calls Forward.
#pragma once

#include <cstdint>
#include <span>

#include "absl/status/status.h"
#include "kernels/cpu/linear.h"
#include "worker/base/ids.h"
#include "worker/model/load_context.h"
#include "worker/model/step_context.h"
#include "worker/weights/weight_reader.h"

namespace sluice::worker {

class VocabularyParallelEmbedding {
 public:
  static VocabularyParallelEmbedding Load(const LoadContext& context);

  // out [ids.size()][hidden].
  absl::Status Forward(const StepContext& step, std::span<const TokenId> ids, float* out) const;

 private:
  // Rows stay where they are: in the mapped file, of which lookups touch few pages.
  TensorView rows_;  // [local vocab][hidden]
  int64_t vocab_begin_ = 0;
  int64_t local_vocab_ = 0;
  int64_t hidden_ = 0;
};

class VocabularyParallelHead {
 public:
  static VocabularyParallelHead Load(const LoadContext& context);

  int64_t bytes() const { return weight_.bytes(); }
  int64_t local_vocab() const { return weight_.spec().outputs; }

  // x [num_rows][hidden]; scratch [num_rows][local_vocab()]. logits: on rank 0 [num_rows][vocab],
  // elsewhere empty.
  absl::Status Forward(kernels::cpu::ThreadPool& pool, Communicator& communicator, const float* x,
                       int64_t num_rows, float* scratch, std::span<float> logits) const;

 private:
  kernels::cpu::LinearWeight weight_;
};

}  // namespace sluice::worker
