// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>

#include "kernels/attention/decode_attention.h"
#include "kernels/attention/decode_units.cuh"
#include "kernels/device/launch.cuh"
#include "kernels/device/reduce.cuh"
#include "kernels/host/memory_division.h"

namespace sluice::kernels::attention {
namespace {

constexpr int kPlanThreads = 256;
// A piece takes about as long to be added up as so many units to be worked on.
constexpr float kUnitsPerPiece = 1.0f;
// So many units more than the even share (of 0.4 us each) cost less than blocks with the end of one
// row and the beginning of another.
constexpr int kAlignUnits = 3;

// max_units: of the longest row.
__device__ int UnitsPerBlock(int total, int max_units, int num_blocks) {
  if (max_units == 0) return 1;
  // When there are few units, more of them a block and fewer pieces.
  const auto least = static_cast<int>(ceilf(sqrtf(kUnitsPerPiece * static_cast<float>(max_units))));
  const int even = max((total + num_blocks - 1) / num_blocks, least);
  const int pieces = max_units / even;
  const int aligned = pieces > 0 ? (max_units + pieces - 1) / pieces
                                 : (even + max_units - 1) / max_units * max_units;
  return aligned - even <= kAlignUnits ? aligned : even;
}

// One block.
__global__ void __launch_bounds__(kPlanThreads) DecodePlanKernel(DecodePlan plan) {
  __shared__ int scratch[kPlanThreads / device::kWarpSize];
  __shared__ int max_units;
  device::BeginChained();
  const int thread = static_cast<int>(threadIdx.x);
  const DecodeWorkspace& workspace = plan.workspace;
  if (thread == 0) max_units = 0;
  int first = 0;
  for (int begin = 0; begin < plan.rows; begin += kPlanThreads) {
    __syncthreads();  // scratch was read, max_units written
    const int row = begin + thread;
    const int units = row < plan.rows ? UnitsOf(plan.lengths[row]) : 0;
    const device::PrefixSum sum = device::BlockPrefixSum(units, scratch);
    if (row < plan.rows) workspace.first_unit[row] = first + sum.before;
    if (units > 0) atomicMax(&max_units, units);
    first += sum.total;
  }
  if (thread == 0) workspace.first_unit[plan.rows] = first;
  for (int i = thread; i < plan.rows * plan.num_kv_heads; i += kPlanThreads) {
    workspace.arrivals[i] = 0;
  }
  __syncthreads();
  const int total = first * plan.num_kv_heads;
  const int per_block = UnitsPerBlock(total, max_units, plan.num_sms);
  if (thread == 0) *workspace.units_per_block = per_block;
  for (int block = thread; block < plan.num_sms; block += kPlanThreads) {
    const int64_t unit = int64_t{block} * per_block;
    DecodeShare share;
    if (unit < total) {
      share.begin = static_cast<int>(unit);
      share.end = min(share.begin + per_block, total);
      int low = 0, high = plan.rows;  // the unit is in rows low .. high - 1
      while (high - low > 1) {
        const int middle = (low + high) / 2;
        if (workspace.first_unit[middle] * plan.num_kv_heads <= share.begin) {
          low = middle;
        } else {
          high = middle;
        }
      }
      share.row = low;
      share.first_of_row = workspace.first_unit[low] * plan.num_kv_heads;
    }
    workspace.shares[block] = share;
  }
}

}  // namespace

size_t DivideDecodeWorkspace(void* memory, const DecodeWorkspaceShape& shape,
                             DecodeWorkspace* workspace) {
  MemoryDivision division(memory);
  const auto rows = static_cast<size_t>(shape.rows), blocks = static_cast<size_t>(shape.num_sms);
  division.Take(&workspace->shares, blocks);
  division.Take(&workspace->units_per_block, 1);
  division.Take(&workspace->first_unit, rows + 1);
  division.Take(&workspace->arrivals, rows * static_cast<size_t>(shape.num_kv_heads));
  division.Take(&workspace->partial_sums, 2 * blocks * kMaxGroup);
  division.Take(&workspace->partial_out, 2 * blocks * kMaxGroup * kHeadDim);
  return division.used();
}

LaunchResult RunDecodePlan(const DecodePlan& plan, cudaStream_t stream) {
  if (plan.rows == 0) return {};
  return AfterLaunch(device::LaunchChained(DecodePlanKernel, 1, kPlanThreads, 0, stream, plan),
                     "decode attention's plan");
}

}  // namespace sluice::kernels::attention
