// SPDX-License-Identifier: Apache-2.0
// SplitPlan: which block computes which part of a linear (small_linear.h, medium_linear.h), and so
// where its partial sums lie. The work is one unit for each tile of tile_outputs outputs and group
// of 128 inputs. Inputs are cut into `slices` equal runs of groups, each with its own blocks (so
// that a block needs only its slice of the activations); within a slice, units are in the order
// [tile][group] and every block takes the next units_per_block of them. What a block has summed of
// a tile is one piece, so a tile of a slice has up to max_pieces of them; the next kernel adds them
// in order.
//
// A pure function of the shape: the order of summation is the same run after run.
#pragma once

#include <cstdint>

#include "kernels/host/host_device.h"

namespace sluice::kernels::awq {

// One unit, within its slice.
struct SplitUnit {
  int tile, group;

  // To the next one in the order [tile][group]. Kernels count units this way: they divide once.
  SLUICE_HOST_DEVICE void Advance(int groups_per_slice) {
    if (++group < groups_per_slice) return;
    group = 0;
    ++tile;
  }
};

struct SplitPlan {
  int tile_outputs = 0;      // a multiple of 4
  int num_tiles = 0;         // of outputs; the last one may be partly empty
  int groups_per_slice = 0;  // of inputs
  int slices = 0;            // 0: no partial sums
  int blocks_per_slice = 0;
  int units_per_block = 0;
  int max_pieces = 0;

  // Whether some output is the sum of several pieces.
  bool splits_tiles() const { return slices * max_pieces > 1; }
  SLUICE_HOST_DEVICE int units_per_slice() const { return num_tiles * groups_per_slice; }
  SLUICE_HOST_DEVICE SplitUnit UnitAt(int unit) const {
    return {unit / groups_per_slice, unit % groups_per_slice};
  }
  // The first block (within the slice) that works on a tile, and how many do.
  SLUICE_HOST_DEVICE int FirstBlock(int tile) const {
    return tile * groups_per_slice / units_per_block;
  }
  SLUICE_HOST_DEVICE int NumPieces(int tile) const {
    return ((tile + 1) * groups_per_slice - 1) / units_per_block - FirstBlock(tile) + 1;
  }
  // Which piece of partials a block (within the slice) writes for a tile.
  SLUICE_HOST_DEVICE int Piece(int slice, int block, int tile) const {
    return slice * max_pieces + block - FirstBlock(tile);
  }
  // partials is f32 [slices * max_pieces][rows][outputs].
  SLUICE_HOST_DEVICE int64_t PartialFloats(int rows, int outputs) const {
    return int64_t{slices} * max_pieces * rows * outputs;
  }
};

// inputs a multiple of 128. num_blocks: at most so many run at once. slices divides inputs / 128.
SplitPlan MakeSplitPlan(int outputs, int inputs, int slices, int num_blocks, int tile_outputs);

// The same work in no more blocks, each of which has whole tiles of its slice.
SplitPlan WithWholeTiles(const SplitPlan& plan);

}  // namespace sluice::kernels::awq
