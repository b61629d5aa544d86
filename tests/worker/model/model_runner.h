// SPDX-License-Identifier: Apache-2.0
// Runs a model folder's forward pass for tests: any number of ranks as threads over the real
// shared-memory communicator, prompts side by side or in chunks, from any start position.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "worker/base/ids.h"

namespace sluice::worker {

struct ModelRun {
  std::string dir;
  int tp_size = 1;
  int threads = 1;  // of each rank
  std::string rope_scaling = {};
  // Added to every position that RoPE sees; the KV cache still begins at 0.
  int first_position = 0;
  std::vector<std::vector<TokenId>> prompts;  // computed in one batch
  // Tokens of each prompt in a step; the last one repeats. Empty: all at once.
  std::vector<int> chunks = {};
  bool dummy_weights = false;
};

// [prompts][tokens * vocab]: logits of every token. Fails the test on any error.
std::vector<std::vector<float>> RunModel(const ModelRun& run);

// Deterministic ids below vocab_size.
std::vector<TokenId> RandomIds(uint64_t seed, int count, int vocab_size);

int ArgMax(const float* logits, int vocab_size);

// Of a checkpoint of tests/reference/parity_checkpoint.py, made by the build.
std::string ParityDir(const std::string& name);

// Of the bundled model.
std::string DemoModelDir();

}  // namespace sluice::worker
