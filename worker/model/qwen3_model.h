// SPDX-License-Identifier: Apache-2.0
// Qwen3Model: one rank's shard of the model and its forward pass, from token ids to logits. It
// knows nothing of requests: a batch is a list of tokens, each with its position and the pages of
// its row.
//
// Owned by the executor. Load on any thread; Forward on the step thread, on all ranks with the same
// batch.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernels/cpu/attention.h"
#include "kernels/cpu/rope.h"
#include "kernels/cpu/thread_pool.h"
#include "worker/base/ids.h"
#include "worker/model/decoder_layer.h"
#include "worker/model/kv_cache.h"
#include "worker/model/model_folder.h"
#include "worker/model/vocabulary_parallel.h"
#include "worker/parallel/communicator.h"
#include "worker/weights/weight_reader.h"

namespace sluice::worker {

// Tokens of one step. Those of a row stand together in ascending order; pages they need are in
// their tables.
struct ForwardBatch {
  std::span<const TokenId> ids;  // [tokens], all below vocab_size
  // [tokens], what RoPE turns by. Equal to places[i].position when serving; a test may start
  // anywhere.
  std::span<const int32_t> positions;
  std::span<const kernels::cpu::TokenPlace> places;  // [tokens], where keys and values live
  std::span<const int32_t> logits_of;  // ascending indices of the tokens whose logits are wanted
};

class Qwen3Model {
 public:
  // communicator and pool must outlive the model. Fails when memory is short.
  static absl::StatusOr<std::unique_ptr<Qwen3Model>> Load(const ModelFolder& folder,
                                                          Communicator* communicator,
                                                          kernels::cpu::ThreadPool* pool,
                                                          WeightReader::Progress on_progress);

  const Qwen3Config& config() const { return config_; }
  // Of this rank's packed weights; the embedding's mapped rows are not among them.
  int64_t weight_bytes() const;

  // Writes keys and values of all tokens into cache. logits: on rank 0
  // [logits_of.size()][vocab_size], elsewhere empty. An error comes from a collective and is final.
  absl::Status Forward(const ForwardBatch& batch, const KvCache& cache, std::span<float> logits);

  // Logits of further tokens of the last Forward, so that a step that wants them for many tokens
  // can take them a few at a time. Arguments and errors as there; on all ranks alike.
  absl::Status MoreLogits(std::span<const int32_t> logits_of, std::span<float> logits);

 private:
  // Grows to the largest step seen.
  struct Workspace {
    std::vector<float> residual, delta, normed;                 // [tokens][hidden]
    std::vector<float> cos, sin;                                // [tokens][head_dim / 2]
    std::vector<float> layer;                                   // scratch of a layer
    std::vector<float> last_residual, last_delta, last_normed;  // [logits rows][hidden]
    std::vector<float> local_logits;                            // [logits rows][local vocab]
  };

  Qwen3Model(const Qwen3Config& config, Communicator* communicator, kernels::cpu::ThreadPool* pool)
      : config_(config), communicator_(*communicator), pool_(*pool) {}

  void ReserveWorkspace(int64_t tokens);

  const Qwen3Config config_;
  Communicator& communicator_;
  kernels::cpu::ThreadPool& pool_;
  kernels::cpu::RopeFrequencies rope_;
  VocabularyParallelEmbedding embedding_;
  std::vector<DecoderLayer> layers_;
  std::vector<float> final_norm_;  // [hidden]
  VocabularyParallelHead head_;
  Workspace workspace_;
};

}  // namespace sluice::worker
