// SPDX-License-Identifier: Apache-2.0
// The committed logits of Transformers (tests/golden/model/, made by
// tests/reference/model_logits.py), and the measure by which ours are compared with them.
#pragma once

#include <string>
#include <vector>

#include "worker/base/ids.h"

namespace sluice::worker {

struct GoldenLogits {
  std::string checkpoint;
  std::string name;          // for messages
  std::string rope_scaling;  // JSON; empty when the run has none
  int first_position = 0;
  std::vector<TokenId> ids;   // [64]
  std::vector<int> columns;   // which ids the logits are of; empty: all
  std::vector<float> logits;  // [64][columns]
  float range = 0.0f;         // largest minus smallest logit, over all columns
};

// All runs of the manifest. Fails the test when a file is missing or is not what the manifest says.
std::vector<GoldenLogits> LoadGoldenLogits();

// Runs our model on the checkpoint in dir and returns the largest absolute difference to the golden
// logits, as a part of their range.
double DifferenceFrom(const GoldenLogits& golden, const std::string& dir);

// What the comparison allows.
inline constexpr double kLogitsTolerance = 1e-4;

}  // namespace sluice::worker
