// SPDX-License-Identifier: Apache-2.0
#include "kernels/awq/split_plan.h"

#include <algorithm>

#include "kernels/awq/packed_awq.h"

namespace sluice::kernels::awq {
namespace {

// Of a plan that has all but its blocks.
SplitPlan WithUnitsPerBlock(SplitPlan plan, int units_per_block) {
  plan.units_per_block = units_per_block;
  plan.blocks_per_slice = (plan.units_per_slice() + units_per_block - 1) / units_per_block;
  plan.max_pieces = 0;
  for (int tile = 0; tile < plan.num_tiles; ++tile) {
    plan.max_pieces = std::max(plan.max_pieces, plan.NumPieces(tile));
  }
  return plan;
}

}  // namespace

SplitPlan MakeSplitPlan(int outputs, int inputs, int slices, int num_blocks, int tile_outputs) {
  SplitPlan plan;
  plan.tile_outputs = tile_outputs;
  plan.num_tiles = (outputs + tile_outputs - 1) / tile_outputs;
  plan.slices = slices;
  plan.groups_per_slice = inputs / kGroupInputs / slices;
  const int blocks = std::max(1, num_blocks / slices);
  return WithUnitsPerBlock(plan, (plan.units_per_slice() + blocks - 1) / blocks);
}

SplitPlan WithWholeTiles(const SplitPlan& plan) {
  const int groups = plan.groups_per_slice;
  return WithUnitsPerBlock(plan, (plan.units_per_block + groups - 1) / groups * groups);
}

}  // namespace sluice::kernels::awq
