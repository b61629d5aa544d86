// SPDX-License-Identifier: Apache-2.0
// ModelFolder: a Hugging Face folder, read and checked but not loaded. Everything that can be wrong
// with it (missing shards, wrong shapes, unknown quantization, a tp-size that does not divide it)
// is found here, in one sentence, before a port listens or a weight is copied. The mains open it;
// the executor loads from it.
//
// Immutable after Open; any thread may read it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "worker/base/ids.h"
#include "worker/model/generation_config.h"
#include "worker/model/qwen3_config.h"
#include "worker/weights/checkpoint.h"

namespace sluice::worker {

struct ModelFolderOptions {
  std::string dir;
  int tp_size = 1;
  // JSON that replaces config.json's rope_scaling, as --rope-scaling takes it; empty:
  // config.json's.
  std::string rope_scaling = {};
  // Random weights of the config's shapes instead of the folder's: config.json is all that must
  // exist.
  bool dummy_weights = false;
};

class ModelFolder {
 public:
  static absl::StatusOr<std::shared_ptr<const ModelFolder>> Open(const ModelFolderOptions& options);

  const std::string& dir() const { return options_.dir; }
  int tp_size() const { return options_.tp_size; }
  bool dummy_weights() const { return options_.dummy_weights; }
  const Qwen3Config& config() const { return config_; }
  const GenerationConfig& generation() const { return generation_; }
  // Null with dummy weights.
  const std::shared_ptr<const Checkpoint>& checkpoint() const { return checkpoint_; }

  // sha256 over config.json, the rope scaling in force, the safetensors headers and the file sizes,
  // in lower-case hex. Ranks with equal digests load the same model.
  const std::string& digest() const { return digest_; }

  // What loading goes through, for progress.
  int64_t BytesToRead() const;
  // What one rank keeps in memory on the CPU: its packed shard of the weights, and one KV page over
  // all layers (float32).
  int64_t WeightBytesPerRank() const;
  int64_t KvBytesPerPagePerRank() const;
  int64_t KvBytesPerTokenPerRank() const { return KvBytesPerPagePerRank() / kPageTokens; }

  // What `sluice check` prints: a few lines with model, parameters, quantization, sizes, memory per
  // rank.
  std::string Summary() const;

 private:
  ModelFolder() = default;

  ModelFolderOptions options_;
  Qwen3Config config_;
  GenerationConfig generation_;
  std::shared_ptr<const Checkpoint> checkpoint_;
  std::string digest_;
};

}  // namespace sluice::worker
