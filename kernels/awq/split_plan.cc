// SPDX-License-Identifier: Apache-2.0
#include "kernels/awq/split_plan.h"

#include <algorithm>

#include "kernels/awq/packed_awq.h"

namespace sluice::kernels::awq {

SplitPlan MakeSplitPlan(int outputs, int inputs, int slices, int num_blocks, int tile_outputs) {
  SplitPlan plan;
  plan.tile_outputs = tile_outputs;
  plan.num_tiles = (outputs + tile_outputs - 1) / tile_outputs;
  plan.slices = slices;
  plan.groups_per_slice = inputs / kGroupInputs / slices;
  const int units = plan.units_per_slice();
  const int blocks = std::max(1, num_blocks / slices);
  plan.units_per_block = (units + blocks - 1) / blocks;
  plan.blocks_per_slice = (units + plan.units_per_block - 1) / plan.units_per_block;
  for (int tile = 0; tile < plan.num_tiles; ++tile) {
    plan.max_pieces = std::max(plan.max_pieces, plan.NumPieces(tile));
  }
  return plan;
}

}  // namespace sluice::kernels::awq
